// OpenAI's own client for Node.
import OpenAI, { toFile } from "openai";
import { expect, feature, Refused, sizeOf, url } from "./features.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0, timeout: 120000 });
const bytes = (text) => Buffer.from(text, "base64");

await feature("default call", async () => {
  const answer = await client.images.generate({ prompt: "a red apple" });
  return `PNG of ${sizeOf(bytes(answer.data[0].b64_json))}`;
});
await feature("gpt-image-1, 1536x1024", async () => {
  const answer = await client.images.generate({ model: "gpt-image-1", prompt: "a red apple", size: "1536x1024", quality: "medium" });
  const size = sizeOf(bytes(answer.data[0].b64_json));
  expect(size[0] === 1536 && size[1] === 1024, `1536×1024, got ${size}`);
  return `${size[0]}×${size[1]}, quality ${answer.quality}`;
});
await feature("stream with partial images", async () => {
  const kinds = [];
  for await (const event of await client.images.generate({ model: "gpt-image-1", prompt: "a red apple", stream: true, partial_images: 2 }))
    kinds.push(event.type);
  expect(kinds.at(-1) === "image_generation.completed", `a completed event, got ${kinds}`);
  return kinds.join(", ");
});
await feature("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  return `${names.length} models`;
});
await feature("a size that cannot be", async () => {
  try {
    await client.images.generate({ prompt: "a red apple", size: "9x99999999" });
  } catch (error) {
    expect(error instanceof OpenAI.BadRequestError, `a BadRequestError, got ${error}`);
    throw new Refused(`BadRequestError: ${error.message}`);
  }
  throw new Error("it was drawn");
});
await feature("files and batches", async () => {
  const line = { custom_id: "one", method: "POST", url: "/v1/images/generations", body: { prompt: "a pear" } };
  const file = await client.files.create({ file: await toFile(Buffer.from(JSON.stringify(line)), "lines.jsonl"), purpose: "batch" });
  let batch = await client.batches.create({ input_file_id: file.id, endpoint: "/v1/images/generations", completion_window: "24h" });
  for (let turn = 0; turn < 120 && !["completed", "failed"].includes(batch.status); turn++) {
    await new Promise((wake) => setTimeout(wake, 1000));
    batch = await client.batches.retrieve(batch.id);
  }
  expect(batch.status === "completed", `completed, got ${batch.status}`);
  const result = JSON.parse((await (await client.files.content(batch.output_file_id)).text()).trim());
  expect(result.custom_id === "one" && result.response.status_code === 200, "the line's answer");
  return `${batch.request_counts.completed} of ${batch.request_counts.total} lines`;
});
