// OpenAI's client for Node, unchanged: node openai_client.mjs URL KEY MODEL. Prints {models, text, streamed, usage} as JSON.
import OpenAI from "openai";

const [url, key, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const models = [];
for await (const each of client.models.list()) models.push(each.id);
const ask = { model, messages: [{ role: "user", content: "Who?" }], max_tokens: 12, temperature: 0 };
const whole = await client.chat.completions.create(ask);
const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
let streamed = "", usage = null;
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
const refused = await client.models.retrieve("anna/never").catch((error) => error.status);
console.log(JSON.stringify({ models, text: whole.choices[0].message.content, streamed, usage, refused }));
