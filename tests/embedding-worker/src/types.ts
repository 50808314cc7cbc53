// A test of the types: tsc fails if they reject a valid use or accept an invalid one.
import worker, { BedrockEntrypoint, bedrock, type Bedrock, type BedrockError, type ReplyEvent } from "bedrock-edge";

worker satisfies ExportedHandler<Env>;

interface CallingEnv {
  BEDROCK: Service<typeof BedrockEntrypoint>;
}

export async function check(instance: Bedrock, calling: CallingEnv, error: BedrockError): Promise<void> {
  instance = bedrock();
  instance = bedrock({ auth: () => ({ caller: "ann" }), log: ({ level, tokens }) => console.log(level, tokens) });
  const { usage, stop_reason } = await instance.generate({ messages: [{ role: "user", content: "hi" }] });
  usage.input_tokens satisfies number | null;
  stop_reason satisfies string | null;
  for await (const event of instance.stream("hi", { signal: AbortSignal.timeout(5) })) {
    event satisfies ReplyEvent;
    if (event.type === "delta") event.text satisfies string;
    // @ts-expect-error: only `delta` has a text
    event.text;
  }
  (await instance.stream("hi").toResponse()) satisfies Response;
  (await instance.sign(new Request("https://s3.us-east-1.amazonaws.com/"))) satisfies Request;
  error.code satisfies string;
  error.retryable satisfies boolean;
  // @ts-expect-error: it is read only
  error.status = 500;

  // @ts-expect-error: a prompt is a string
  await instance.generate({ prompt: 5 });
  // @ts-expect-error: a stream is another method
  await instance.generate({ stream: true });
  // @ts-expect-error: a role is `user` or `assistant`
  await instance.generate({ messages: [{ role: "system", content: "hi" }] });
  // @ts-expect-error: a caller has a name
  bedrock({ auth: () => ({}) });

  const { generated_text } = await calling.BEDROCK.generate({ prompt: "hi" });
  generated_text satisfies string;
}
