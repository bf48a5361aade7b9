// A picture that is painted over. What is kept is one number for each pixel of the picture: 1 where
// the middle of the pixel is within the radius of the brush of the line that it was drawn along.
const canvas = element.querySelector("canvas");
const tools = element.querySelector(".tools");
const brush = tools.querySelector("input");
const context = canvas.getContext("2d");
let image = null, picture = "", height = 0, width = 0, scale = 1;
let painted = new Uint8Array(0), before = [], last = null, erases = false;

function show() {
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!image) return;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.fillStyle = "rgba(230, 60, 40, 0.62)";
  let count = 0;
  for (let i = 0; i < height; i++)
    for (let j = 0; j < width; j++)
      if (painted[i * width + j]) {
        context.fillRect(j * scale, i * scale, scale, scale);
        count++;
      }
  const share = (100 * count) / (height * width);
  tools.querySelector(".share").textContent =
    count ? `${share < 1 ? "under 1" : Math.round(share)} % is missing` : "nothing painted";
}

function send() {
  props.value = painted.some((one) => one)
    ? { height: height, width: width, painted: Array.from(painted).join("") }
    : null;
}

function load() {
  tools.hidden = !props.paints;
  canvas.style.cursor = props.paints ? "crosshair" : "default";
  canvas.style.display = props.picture ? "block" : "none";
  if (props.picture === picture && props.height === height && props.width === width) return;
  picture = props.picture;
  height = props.height;
  width = props.width;
  painted = new Uint8Array(height * width);
  before = [];
  send();
  image = null;
  if (!picture) return show();
  const next = new Image();
  next.onload = () => {
    image = next;
    scale = Math.max(1, Math.floor(352 / Math.max(height, width)));
    canvas.width = scale * width;
    canvas.height = scale * height;
    brush.max = Math.max(4, Math.round(Math.max(height, width) / 2));
    canvas.dataset.ready = `${height}x${width}`;
    show();
  };
  next.src = picture;
}

// Where the pointer is, in pixels of the picture.
function place(event) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * width,
    ((event.clientY - box.top) / box.height) * height,
  ];
}

function line(from, to) {
  const radius = Number(brush.value) / 2;
  const [ax, ay] = from, dx = to[0] - ax, dy = to[1] - ay;
  const square = dx * dx + dy * dy;
  const low = (a, b) => Math.max(0, Math.floor(Math.min(a, b) - radius - 1));
  const high = (a, b, most) => Math.min(most - 1, Math.ceil(Math.max(a, b) + radius + 1));
  for (let i = low(ay, to[1]); i <= high(ay, to[1], height); i++)
    for (let j = low(ax, to[0]); j <= high(ax, to[0], width); j++) {
      const px = j + 0.5 - ax, py = i + 0.5 - ay;
      const along = square ? Math.min(1, Math.max(0, (px * dx + py * dy) / square)) : 0;
      const x = px - along * dx, y = py - along * dy;
      if (x * x + y * y <= radius * radius) painted[i * width + j] = erases ? 0 : 1;
    }
}

canvas.addEventListener("pointerdown", (event) => {
  if (!props.paints || !image || event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  before.push(painted.slice());
  if (before.length > 32) before.shift();
  last = place(event);
  line(last, last);
  show();
});
canvas.addEventListener("pointermove", (event) => {
  if (!last) return;
  for (const one of event.getCoalescedEvents ? event.getCoalescedEvents() : [event]) {
    const next = place(one);
    line(last, next);
    last = next;
  }
  const end = place(event);
  line(last, end);
  last = end;
  show();
});
for (const name of ["pointerup", "pointercancel"])
  canvas.addEventListener(name, () => {
    if (!last) return;
    last = null;
    send();
  });

brush.addEventListener("input", () => {
  tools.querySelector("output").textContent = `${brush.value} px`;
});
tools.addEventListener("click", (event) => {
  const name = event.target.dataset ? event.target.dataset.do : undefined;
  if (!name) return;
  if (name === "paint" || name === "erase") {
    erases = name === "erase";
    for (const one of tools.querySelectorAll("[aria-pressed]"))
      one.setAttribute("aria-pressed", String(one.dataset.do === name));
    return;
  }
  if (name === "clear") before.push(painted.slice());
  painted = name === "undo" ? before.pop() || painted : new Uint8Array(height * width);
  show();
  send();
});

watch(["picture", "height", "width", "paints"], load);
load();
