"""Make executed notebooks small enough to commit: python clean.py NOTEBOOK...

Removes stderr, TensorFlow's warnings, and when and where each notebook ran. A video becomes its
middle frame, and a large PNG image a JPEG one.
"""

import base64
import io
import re
import sys

import av
import nbformat
from PIL import Image

VIDEO = re.compile(r"data:video/mp4;base64,([A-Za-z0-9+/=]+)")
LARGEST = 60_000  # characters of a PNG image in base64


def as_jpeg(image):
    """An image as base64 text."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=85)
    return base64.b64encode(file.getvalue()).decode()


def middle_frame(video):
    """The frame in the middle of a video, given as bytes."""
    with av.open(io.BytesIO(video)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    return frames[len(frames) // 2]


def shrink(data):
    """An output's data, MIME type to text, with no more than a small image."""
    if found := VIDEO.search(data.get("text/html", "")):
        image = as_jpeg(middle_frame(base64.b64decode(found[1])))
        return {"image/jpeg": image, "text/plain": data["text/plain"]}
    if (png := data.get("image/png", "")) and len(png) > LARGEST:
        image = as_jpeg(Image.open(io.BytesIO(base64.b64decode(png))))
        if len(image) < len(png):
            return {"image/jpeg": image, "text/plain": data["text/plain"]}
    return data


def is_noise(output):
    """Whether an output is of no use to a reader; TensorFlow prints its warnings to stdout too."""
    return output.get("name") == "stderr" or output.get("text", "").startswith("WARNING:tensorflow")


def clean(path):
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata = {"tags": tags} if (tags := cell.metadata.get("tags")) else {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_noise(output)]
            for output in cell.outputs:
                if "data" in output:
                    output.data = shrink(output.data)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        clean(path)
