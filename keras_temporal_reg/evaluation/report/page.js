"use strict";

const DRIFT = 0.5; // frames that a video may be off while playing
const LOST = 4; // frames off from which a video is sought, which stutters, instead of sped up
const CATCH_UP = 0.15; // by how much it is sped up or slowed down
let current = null; // the pause function of the running player

/** Plays the videos of a clip in sync, with one button, one scrubber, and markers that follow. */
function player(clip) {
  const rate = Number(clip.dataset.rate);
  const frames = Number(clip.dataset.frames);
  const box = clip.querySelector(".players");
  const button = box.querySelector(".play"); // null where there are no videos
  const select = box.querySelector(".speed");
  const scrubber = box.querySelector("input");
  const counter = box.querySelector(".counter");
  const readings = [...clip.querySelectorAll(".now")].map((span) => [
    span,
    span.dataset.values.split(","),
  ]);
  const videos = new Set(box.querySelectorAll("video"));
  const sought = new Map(); // video to the time it was last sought to, in seconds
  let frame = 0;
  let wanted = false; // whether play was requested
  let running = false; // whether the videos run: they wait until all show the same frame
  let speed = 1;

  function show() {
    const text = `frame ${frame + 1} of ${frames}`;
    scrubber.value = frame;
    scrubber.setAttribute("aria-valuetext", text);
    counter.textContent = `${text}, ${(frame / rate).toFixed(2)} s`;
    clip.style.setProperty("--frame", frame + 0.5);
    for (const [span, values] of readings) span.textContent = values[frame] ?? "";
  }

  // Seeks every video to the middle of the frame, away from rounding errors. Called again when a
  // video has arrived, so that only the latest frame is sought while one is still seeking.
  function settle() {
    if (running) return;
    const seconds = (frame + 0.5) / rate;
    let ready = videos.size > 0;
    for (const video of videos) {
      if (video.readyState > 0 && !video.seeking && sought.get(video) !== seconds) {
        sought.set(video, seconds);
        video.currentTime = seconds;
      }
      ready &&= video.readyState > 1 && !video.seeking && sought.get(video) === seconds;
    }
    if (ready && wanted) run();
  }

  function run() {
    running = true;
    sought.clear();
    for (const video of videos) {
      video.playbackRate = speed;
      video.play().catch((error) => {
        if (error.name === "NotAllowedError") pause(); // as phones do to save power
      });
    }
    requestAnimationFrame(follow);
  }

  function halt() {
    running = false;
    for (const video of videos) video.pause();
  }

  // The first video is the clock; the others follow it.
  function follow() {
    if (!running) return;
    const [clock, ...others] = videos;
    if (clock.ended || clock.currentTime >= frames / rate) {
      halt();
      frame = 0;
      show();
      settle(); // and start over
      return;
    }
    if (clock.paused) {
      pause(); // by media keys or by the browser
      return;
    }
    for (const video of others) {
      const behind = (clock.currentTime - video.currentTime) * rate;
      if (Math.abs(behind) > LOST && !video.seeking && !video.ended) {
        video.currentTime = clock.currentTime;
      }
      const off = Math.abs(behind) > DRIFT ? Math.sign(behind) : 0;
      const pace = speed * (1 + CATCH_UP * off);
      if (video.playbackRate !== pace) video.playbackRate = pace;
    }
    const now = Math.min(Math.floor(clock.currentTime * rate), frames - 1);
    if (now !== frame) {
      frame = now;
      show();
    }
    requestAnimationFrame(follow);
  }

  function play() {
    if (current) current();
    current = pause;
    wanted = true;
    button.textContent = "Pause";
    settle();
  }

  function pause() {
    if (!wanted) return;
    wanted = false;
    current = null;
    button.textContent = "Play";
    halt();
    settle(); // all at the frame shown
  }

  function toggle() {
    if (wanted) pause();
    else if (button) play();
  }

  function go(to) {
    pause();
    frame = Math.min(Math.max(to, 0), frames - 1);
    show();
    settle();
  }

  // Browsers run only some dozens of videos at a time: unload those far from view.
  function load() {
    for (const video of videos) {
      if (video.src) continue;
      const text = atob(document.getElementById(video.dataset.source).textContent);
      const bytes = new Uint8Array(text.length);
      for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
      video.src = URL.createObjectURL(new Blob([bytes], { type: "video/mp4" }));
    }
  }

  function unload() {
    pause();
    sought.clear();
    for (const video of videos) {
      if (!video.src) continue;
      URL.revokeObjectURL(video.src);
      video.removeAttribute("src");
      video.load();
    }
  }

  for (const video of videos) {
    video.addEventListener("seeked", settle);
    video.addEventListener("loadedmetadata", () => {
      video.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
      settle();
    });
    video.addEventListener("canplay", settle);
    video.addEventListener("click", toggle);
    video.addEventListener("error", () => {
      videos.delete(video);
      const note = document.createElement("p");
      note.className = "absent";
      note.textContent = "This browser cannot play this video (H.264).";
      video.replaceWith(note);
      settle();
    });
  }
  if (button) {
    button.addEventListener("click", toggle);
    select.addEventListener("change", () => {
      speed = Number(select.value);
      if (running) for (const video of videos) video.playbackRate = speed;
    });
  }
  scrubber.addEventListener("input", () => go(Number(scrubber.value)));
  box.querySelector(".back").addEventListener("click", () => go(frame - 1));
  box.querySelector(".on").addEventListener("click", () => go(frame + 1));
  box.addEventListener("keydown", (event) => {
    const on = event.target.tagName;
    if (event.altKey || event.ctrlKey || event.metaKey || on === "SELECT") return;
    // The space bar presses the focused button.
    if (event.key === " " && on !== "BUTTON") toggle();
    else if (event.key === "ArrowRight") go(frame + 1);
    else if (event.key === "ArrowLeft") go(frame - 1);
    else return;
    event.preventDefault();
  });
  for (const area of clip.querySelectorAll("[data-of]")) {
    const point = (event) => {
      const { left, width } = area.getBoundingClientRect();
      go(Math.floor(((event.clientX - left) / width) * Number(area.dataset.of)));
    };
    area.addEventListener("pointerdown", point);
    area.addEventListener("pointermove", (event) => event.buttons & 1 && point(event));
  }
  show();
  new IntersectionObserver(
    (entries) => (entries[entries.length - 1].isIntersecting ? load() : unload()),
    { rootMargin: "100%" },
  ).observe(box);
}

/** Shows the meaning of a measure beside its title: on hover, focus and tap. */
function explanations() {
  const help = document.getElementById("help");
  let leaving = 0;

  let term = null; // the title being explained

  function hide() {
    help.hidden = true;
  }

  function place() {
    const around = term.getBoundingClientRect();
    const room = document.documentElement.clientWidth - help.offsetWidth - 8;
    help.style.left = `${Math.max(8, Math.min(around.left, room))}px`;
    const below = around.bottom + 6;
    const fits = below + help.offsetHeight < innerHeight;
    help.style.top = `${fits ? below : around.top - help.offsetHeight - 6}px`;
  }

  // Delayed, so that the pointer can reach the text.
  function leave() {
    leaving = setTimeout(hide, 200);
  }

  function show(event) {
    clearTimeout(leaving);
    term = event.currentTarget;
    help.textContent = document.getElementById(term.getAttribute("aria-describedby")).textContent;
    help.hidden = false;
    place();
  }

  for (const title of document.querySelectorAll(".term")) {
    for (const name of ["pointerenter", "focus", "click"]) title.addEventListener(name, show);
    for (const name of ["pointerleave", "blur"]) title.addEventListener(name, leave);
  }
  help.addEventListener("pointerenter", () => clearTimeout(leaving));
  help.addEventListener("pointerleave", leave);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  const follow = () => help.hidden || place();
  document.addEventListener("scroll", follow, { capture: true, passive: true });
}

function copying() {
  const button = document.querySelector(".copy");
  const code = document.querySelector(".command code");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // the clipboard is refused: copy by hand
      button.textContent = "Selected";
    }
  });
}

document.querySelectorAll(".clip").forEach(player);
explanations();
copying();
