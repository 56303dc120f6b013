// Where frames come from: the browser's camera, a picture, or a video file. A source paints its newest frame on a context,
// and tells of each new one: `each({time, came, count})`, with the frame's time in s, when it was taken on the page's
// clock (ms), and how many the source has presented so far.

const LIVE_SIDE = 640; // longer side of what is sent of a moving picture: the detector looks at no more
const PICTURE_SIDE = 1280; // of a single picture, which costs once, and may be of many small faces
const LATE = 2000; // ms; a frame that claims to be older has another clock

/** What keeps a source from giving frames: what is wrong, and what to do. */
export class Trouble extends Error {
  constructor(title, todo) {
    super(todo);
    this.title = title;
  }
}

/** The cameras there are, [{id, name}]; names are known once the camera was allowed. */
export async function cameras() {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((each) => each.kind === "videoinput");
  return found.map((each, i) => ({ id: each.deviceId, name: each.label || `Camera ${i + 1}` }));
}

/** The camera with this id, or the one that looks at the person; Trouble if it gives nothing. */
export async function camera(id = "") {
  if (!navigator.mediaDevices?.getUserMedia) throw insecure();
  const which = id ? { deviceId: { exact: id } } : { facingMode: "user" };
  const wanted = { ...which, width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: wanted });
  } catch (error) {
    throw refused(error);
  }
  const [track] = stream.getVideoTracks();
  const { facingMode, deviceId } = track.getSettings();
  const source = new Moving("camera", facingMode !== "environment", () => stream.getTracks().forEach((t) => t.stop()));
  source.id = deviceId ?? id;
  source.video.srcObject = stream;
  const gone = new Trouble("The camera is gone", "It was unplugged, or another program took it. Plug it in, and start again.");
  track.addEventListener("ended", () => source.onend(gone));
  await source.playing();
  return source;
}

/** A video file, played once at its own speed; Trouble if the browser cannot. */
export async function video(file) {
  const address = URL.createObjectURL(file);
  const source = new Moving("video", false, () => URL.revokeObjectURL(address));
  source.name = file.name;
  source.video.src = address;
  source.video.addEventListener("ended", () => source.onend(null));
  await source.playing();
  return source;
}

/** A picture file, which is one frame; Trouble if it is none. */
export async function picture(file) {
  const address = URL.createObjectURL(file);
  const image = new Image();
  image.src = address;
  try {
    await image.decode(); // the way up that its EXIF says
  } catch {
    throw new Trouble(`${file.name} is no picture`, "The browser cannot read it. Choose a JPEG, PNG or WebP, or a video.");
  } finally {
    URL.revokeObjectURL(address);
  }
  return {
    kind: "picture", name: file.name, mirrors: false, side: PICTURE_SIDE, onend() {},
    size: () => [image.naturalWidth, image.naturalHeight],
    paint: (ctx, width, height) => ctx.drawImage(image, 0, 0, width, height),
    each: (callback) => callback({ time: 0, came: performance.now(), count: 1 }),
    stop() {},
  };
}

/** A camera or a video, by a <video> that nobody sees: each of its frames is copied to a canvas. */
class Moving {
  constructor(kind, mirrors, release) {
    Object.assign(this, { kind, mirrors, release, side: LIVE_SIDE, name: "", onend: () => {} });
    this.video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, autoplay: true });
    this.video.setAttribute("playsinline", ""); // iOS shows the camera full screen without it
    this.video.className = "unseen"; // in the document, because iOS gives black frames of one that is not
    this.video.setAttribute("aria-hidden", "true");
    this.video.tabIndex = -1;
    document.body.append(this.video);
  }

  /** Resolves once there is a frame. */
  async playing() {
    const { video } = this;
    try {
      await video.play();
      if (!video.videoWidth) await new Promise((resolve) => video.addEventListener("resize", resolve, { once: true }));
    } catch {
      this.stop();
      throw this.kind === "video"
        ? new Trouble("This is no video that plays here", "Browsers play MP4 (H.264), WebM and Ogg. Convert it, or choose another.")
        : new Trouble("The camera sends nothing", "Close other programs that use it, and start again.");
    }
  }

  /** Width and height as displayed: a phone that is turned swaps them while it runs. */
  size() {
    return [this.video.videoWidth, this.video.videoHeight];
  }

  paint(ctx, width, height) {
    ctx.drawImage(this.video, 0, 0, width, height);
  }

  /** Tell of every frame from now on. */
  each(callback) {
    this.begun = performance.now();
    this.last = 0;
    const { video } = this;
    if (!video.requestVideoFrameCallback) return this.byAnimation(callback);
    const next = (now, data) => {
      if (this.stopped) return;
      video.requestVideoFrameCallback(next);
      const taken = data.captureTime;
      const came = taken > now - LATE && taken <= performance.now() ? taken : now;
      callback({ time: this.time(came, data.mediaTime), came, count: data.presentedFrames });
    };
    video.requestVideoFrameCallback(next);
  }

  /** For browsers without requestVideoFrameCallback: a frame is new where the video's time is. */
  byAnimation(callback) {
    let before = -1, count = 0;
    const look = (now) => {
      if (this.stopped) return;
      requestAnimationFrame(look);
      if (this.video.currentTime === before) return;
      before = this.video.currentTime;
      count += 1;
      callback({ time: this.time(now, before), came: now, count });
    };
    requestAnimationFrame(look);
  }

  /** Seconds of a frame: a video's own; a camera's since it began, never back. */
  time(came, place) {
    if (this.kind === "video") return place;
    this.last = Math.max(this.last, (came - this.begun) / 1000);
    return this.last;
  }

  stop() {
    if (this.stopped) return;
    this.stopped = true;
    this.video.pause();
    this.release();
    this.video.srcObject = null;
    this.video.removeAttribute("src");
    this.video.remove();
  }
}

function insecure() {
  if (window.isSecureContext) return new Trouble("This browser gives no camera", "Use a current Chrome, Edge, Firefox or Safari, or choose a picture or a video.");
  return new Trouble(
    "The camera needs https",
    "Browsers give a camera to https pages, and to pages of this very machine. Start ferlab live lan=true on the other machine, and open the https address that it prints. Pictures and videos work as it is.",
  );
}

function refused(error) {
  const other = "Or choose a picture or a video.";
  const known = {
    NotAllowedError: ["The camera is not allowed", `Allow it by the camera symbol beside the address, or in the system's privacy settings; then start again. ${other}`],
    NotFoundError: ["There is no camera", `Plug one in, and start again. ${other}`],
    OverconstrainedError: ["This camera is not there any more", "Choose another one, and start again."],
    NotReadableError: ["The camera is in use", `Another program has it. Close that, and start again. ${other}`],
    SecurityError: ["The camera is not allowed", `This browser is set to give no camera to pages. ${other}`],
  };
  const [title, todo] = known[error.name] ?? ["The camera does not start", `The browser says: ${error.message || error.name}. ${other}`];
  return new Trouble(title, todo);
}
