// Sends files that are chosen, dropped or pasted, as base64.
// `element` and `trigger` come from Gradio; see js_on_load of gr.HTML.

const input = element.querySelector("input");
const zone = element.querySelector("label");
const { bytes, count } = input.dataset;

const encode = (file) =>
  new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => resolve(""); // a folder
    reader.readAsDataURL(file);
  });

const send = async (list) => {
  const files = [];
  for (const [index, { name, size }] of list.entries()) {
    const refused = size > Number(bytes) || index >= Number(count);
    files.push({ name, size, data: refused ? "" : await encode(list[index]) });
  }
  if (files.length) trigger("upload", { files });
};

input.addEventListener("change", () => {
  send([...input.files]);
  input.value = ""; // the same file may be chosen again
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  zone.addEventListener(kind, (event) => {
    event.preventDefault();
    zone.classList.toggle("over", kind === "dragover");
    if (kind === "drop") send([...event.dataTransfer.files]);
  });
}
document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length && zone.offsetParent) send(files); // only the zone that is shown
});
