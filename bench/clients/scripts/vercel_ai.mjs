// Vercel's AI SDK with its OpenAI provider.
import { createOpenAI } from "@ai-sdk/openai";
import * as ai from "ai";
import { expect, feature, Refused, sizeOf, url } from "./features.mjs";

const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: "none" });
const generateImage = ai.generateImage ?? ai.experimental_generateImage;

await feature("default call", async () => {
  const { image } = await generateImage({ model: openai.image("gpt-image-1"), prompt: "a red apple", maxRetries: 0 });
  return `PNG of ${sizeOf(Buffer.from(image.uint8Array))}`;
});
await feature("two images, 1024x1024, seed", async () => {
  const { images } = await generateImage({ model: openai.image("dall-e-3"), prompt: "a red apple", n: 2, size: "1024x1024", seed: 7, maxRetries: 0 });
  expect(images.length === 2, "two images");
  return `two of ${sizeOf(Buffer.from(images[0].uint8Array))}`;
});
await feature("a model that is not there", async () => {
  try {
    await generateImage({ model: openai.image("sdxl-of-mine"), prompt: "a red apple", maxRetries: 0 });
  } catch (error) {
    expect(error.statusCode === 404, `404, got ${error}`);
    throw new Refused(`${error.name}: ${error.message}`);
  }
  throw new Error("it was drawn");
});
