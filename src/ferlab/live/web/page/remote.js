// The engine by WebSocket: JPEG up, JSON down. A lost connection is taken up again, with longer and longer waits.

const QUALITY = 0.8; // of JPEG
const WAIT = 10_000; // ms without an answer, after which a connection counts as lost: a sleeping laptop says no goodbye
const FIRST = 500, LONGEST = 8000; // ms until the next try
const REPLY = { settings: "settings", record: "recording", annotate: "annotated", enroll: "enrolled" };

/** Resolves once the server is warm; `on` hears of lost connections, notes, and what nobody asked for. */
export async function open({ on = () => {} } = {}) {
  const remote = new Remote(on);
  await remote.warm;
  return remote;
}

/** An Error of a connection that ended: nothing is wrong with what was sent. */
class Lost extends Error {
  lost = true;
}

class Remote {
  constructor(on) {
    this.on = on;
    this.hello = null;
    this.flying = new Map(); // id of a frame -> {resolve, reject}
    this.asked = new Map(Object.keys(REPLY).map((kind) => [kind, []])); // kind of a message -> those that wait
    this.tries = this.sources = 0;
    this.order = Promise.resolve();
    this.warm = new Promise((resolve) => (this.greeted = resolve));
    window.addEventListener("online", () => this.waits && this.connect());
    this.connect();
  }

  get can() {
    return this.hello.can;
  }

  /** The answer to a frame {id, time in s, canvas}; an Error says why there is none. */
  async answer({ id, time, canvas }) {
    const { sources, order } = this;
    let sent;
    this.order = new Promise((resolve) => (sent = resolve));
    try {
      const jpeg = await encoded(canvas);
      await order; // the frame before may take longer to encode, and must go first
      if (sources !== this.sources) throw new Lost("its source is over");
      return this.asking((waiting) => {
        this.transmit(framed(id, time, jpeg));
        this.flying.set(id, waiting);
      });
    } finally {
      sent();
    }
  }

  /** Send a control message; gives the reply, null for one that has none. An Error says why it was refused. */
  async send(message) {
    const waiting = this.asked.get(message.type);
    if (["start", "stop"].includes(message.type)) this.another();
    if (!waiting) {
      this.transmit(JSON.stringify(message));
      return null;
    }
    return this.asking((each) => {
      this.transmit(JSON.stringify(message));
      waiting.push(each);
    });
  }

  /** A source begins or ends: what was asked of its faces has no answer any more. */
  another() {
    this.sources += 1;
    for (const each of this.asked.get("enroll").splice(0)) each.reject(new Error("The source ended before the face was enrolled."));
  }

  close() {
    this.closed = true;
    this.drop();
  }

  transmit(content) {
    if (!this.greetedNow) throw new Lost("the connection to ferlab is lost");
    this.socket.send(content);
  }

  asking(begin) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.drop(), WAIT);
      const done = (settle) => (value) => {
        clearTimeout(timer);
        settle(value);
      };
      try {
        begin({ resolve: done(resolve), reject: done(reject) });
      } catch (error) {
        done(reject)(error);
      }
    });
  }

  connect() {
    clearTimeout(this.waits);
    this.waits = null;
    const address = new URL("ws", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.socket = new WebSocket(address));
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => socket === this.socket && this.take(data);
    socket.onclose = () => socket === this.socket && this.drop();
  }

  take(data) {
    if (typeof data !== "string") return this.picture(data);
    const message = JSON.parse(data);
    if (message.type === "hello") return this.greet(message);
    if (message.type === "answer") return this.settle(message.id, (each) => each.resolve(message));
    if (message.type === "frame") return (this.viewed = message);
    if (message.type === "error") return this.failed(message);
    const [kind] = Object.entries(REPLY).find(([, reply]) => reply === message.type) ?? [];
    this.asked.get(kind)?.shift()?.resolve(message);
    this.on(message); // recording also ends by itself
  }

  greet(message) {
    this.hello = message;
    this.tries = 0;
    this.greetedNow = true;
    this.greeted();
    this.on({ type: "connection", state: "open" });
  }

  settle(id, how) {
    const waiting = this.flying.get(id);
    this.flying.delete(id);
    if (waiting) how(waiting);
    return Boolean(waiting);
  }

  failed(message) {
    const error = new Error(message.text);
    if (message.about === "frame" && this.settle(message.id, (each) => each.reject(error))) return;
    const waiting = this.asked.get(message.about)?.shift();
    if (waiting) waiting.reject(error);
    else this.on(message);
  }

  /** The JPEG of a frame of the server's source. */
  picture(data) {
    const { viewed } = this;
    this.viewed = null;
    if (viewed) this.on({ ...viewed, jpeg: new Blob([new Uint8Array(data, 12)], { type: "image/jpeg" }) });
  }

  /** The connection ended: whoever waits is told, and it is tried again. */
  drop() {
    const { socket } = this;
    this.socket = null;
    this.greetedNow = false;
    this.viewed = null;
    socket?.close();
    const waiting = [...this.flying.values(), ...[...this.asked.values()].flat()];
    this.flying.clear();
    for (const kind of this.asked.keys()) this.asked.set(kind, []);
    for (const each of waiting) each.reject(new Lost("the connection to ferlab is lost"));
    if (this.closed || this.waits) return;
    const wait = Math.min(LONGEST, FIRST * 2 ** this.tries) * (0.8 + 0.4 * Math.random());
    this.tries += 1;
    this.waits = setTimeout(() => this.connect(), wait);
    this.on({ type: "connection", state: "lost", wait, tries: this.tries });
  }
}

/** A binary message: id and time, little-endian, then the JPEG. */
function framed(id, time, jpeg) {
  const message = new Uint8Array(12 + jpeg.byteLength);
  const header = new DataView(message.buffer);
  header.setUint32(0, id, true);
  header.setFloat64(4, time, true);
  message.set(new Uint8Array(jpeg), 12);
  return message;
}

/** A canvas as JPEG, an ArrayBuffer. */
async function encoded(canvas) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  if (!blob) throw new Error("this browser cannot make a JPEG of the frame");
  return blob.arrayBuffer();
}
