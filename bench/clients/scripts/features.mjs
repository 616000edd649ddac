// What each Node script says of a client: one line of JSON a feature.
export const url = process.env.ARGUS_URL;

export class Refused extends Error {}

export async function feature(name, run) {
  const began = Date.now();
  let outcome = "works", detail = "";
  try {
    detail = await run();
  } catch (error) {
    outcome = error instanceof Refused ? "refused" : "fails";
    detail = error instanceof Refused ? error.message : `${error.name}: ${error.message}\n${error.stack}`.slice(0, 2000);
  }
  console.log(JSON.stringify({ feature: name, outcome, detail: String(detail), seconds: (Date.now() - began) / 1000 }));
}

export function expect(condition, what) {
  if (!condition) throw new Error(`expected ${what}`);
}

export function sizeOf(buffer) {
  expect(buffer.subarray(1, 4).toString() === "PNG", "a PNG");
  return [buffer.readUInt32BE(16), buffer.readUInt32BE(20)];
}
