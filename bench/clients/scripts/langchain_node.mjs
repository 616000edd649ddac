// LangChain's DALL-E tool for Node.
import { DallEAPIWrapper } from "@langchain/openai";
import { expect, feature, url } from "./features.mjs";

const here = { apiKey: "none", openAIApiKey: "none", baseUrl: `${url}/v1`, configuration: { baseURL: `${url}/v1` }, clientConfig: { baseURL: `${url}/v1` } };

await feature("default call", async () => {
  const answer = await new DallEAPIWrapper({ ...here }).invoke("a red apple");
  expect(String(answer).startsWith("http"), `a link, got ${String(answer).slice(0, 80)}`);
  return "a link";
});
await feature("two images, base64", async () => {
  const wrapper = new DallEAPIWrapper({ ...here, n: 2, model: "dall-e-3", dallEResponseFormat: "b64_json", size: "1024x1024" });
  const answer = await wrapper.invoke("a red apple");
  expect(Array.isArray(answer) && answer.length === 2, `two images, got ${JSON.stringify(answer).slice(0, 80)}`);
  return "two images";
});
