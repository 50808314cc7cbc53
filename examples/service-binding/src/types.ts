// A test of the types: `npm run check` fails if they reject a valid call or accept an invalid one.
import type { Bedrock, Generated } from "../bedrock-edge";

export async function check(bedrock: Bedrock): Promise<void> {
  const whole: Generated = await bedrock.generate({ prompt: "hi" });
  whole.usage.input_tokens satisfies number | null;
  const events: ReadableStream<Uint8Array> = await bedrock.generate({ stream: true });
  events.cancel();
  // @ts-expect-error: a stream has no `generated_text`
  events.generated_text;
  // @ts-expect-error: a prompt is a string
  await bedrock.generate({ prompt: 5 });
  await bedrock.generate({ messages: [{ role: "user", content: "hi" }] });
  // @ts-expect-error: a role is `user` or `assistant`
  await bedrock.generate({ messages: [{ role: "system", content: "hi" }] });
}
