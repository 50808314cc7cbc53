// What the types allow, and what not: `npm run check` fails where this is not so.
import type { Bedrock, Generated } from "../bedrock-edge";

export async function check(bedrock: Bedrock): Promise<void> {
  const whole: Generated = await bedrock.generate({ prompt: "hi" });
  whole.usage.input_tokens satisfies number | null;
  const events: ReadableStream<Uint8Array> = await bedrock.generate({ stream: true });
  events.cancel();
  // @ts-expect-error: a stream has no text
  events.generated_text;
  // @ts-expect-error: a prompt is a text
  await bedrock.generate({ prompt: 5 });
  // @ts-expect-error: there is no such field
  await bedrock.generate({ prompt: "hi", messages: [] });
}
