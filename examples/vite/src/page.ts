const form = document.querySelector("form")!;
const output = document.querySelector("pre")!;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  output.textContent = "";
  const prompt = new FormData(form).get("prompt");
  const response = await fetch("/ai", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt }),
  });
  const { generated_text } = (await response.json()) as { generated_text: string };
  output.textContent = generated_text;
});
