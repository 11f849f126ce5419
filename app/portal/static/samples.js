// A call as a program in each language, whole and ready to run. Knows nothing of the page.
//
// A call is: {method, origin, path, body (an object, or null), kind, keyed, key (or null for the environment's)}.
// `kind` says what is read from the answer: "get-data", "chat", "completion", or "plain" for all of it. For Azure's
// operations `azure` is {deployment, version}.

import { asciiJson, javaLines, json, python, pythonString, quoted, raw, shell, single, verbatim } from "./literals.js";

const HEADER = "Ocp-Apim-Subscription-Key";
const VARIABLE = "GATEWAY_KEY";

// What OpenAI's packages have as arguments; anything else goes into `extra_body` in Python.
const COMMON = ["temperature", "top_p", "n", "max_tokens", "stop", "seed", "frequency_penalty", "presence_penalty",
  "logit_bias", "logprobs", "stream", "stream_options", "user"];
const ARGUMENTS = {
  chat: new Set([...COMMON, "model", "messages", "max_completion_tokens", "response_format", "top_logprobs", "tools",
    "tool_choice", "parallel_tool_calls", "reasoning_effort"]),
  completion: new Set([...COMMON, "model", "prompt", "best_of", "echo", "suffix"]),
};

/** The samples of a call: `{id, label, run, code}` each, `run` being how to run it. */
export function samples(call) {
  return LANGUAGES.filter(({ fits }) => !fits || fits(call)).map(({ id, label, run, write }) => ({
    id,
    label,
    run: call.keyed && !call.key && id !== "http" ? `export ${VARIABLE}=…\n${run}` : run,
    code: write(call),
  }));
}

const url = (call) => call.origin + call.path;
const streams = (call) => Boolean(call.body?.stream);

function curl(call) {
  const key = call.key ? shell(`${HEADER}: ${call.key}`) : `"${HEADER}: $${VARIABLE}"`;
  const parts = [`curl ${streams(call) ? "--no-buffer " : ""}-X ${call.method} ${shell(url(call))}`];
  if (call.body) parts.push(`-H 'Content-Type: application/json'`);
  if (call.keyed) parts.push(`-H ${key}`);
  if (call.body) parts.push(`--data-raw ${shell(json(call.body))}`);
  return parts.join(" \\\n  ") + "\n";
}

function http(call) {
  const body = call.body ? json(call.body) : "";
  const lines = [`${call.method} ${call.path} HTTP/1.1`, `Host: ${call.origin.replace(/^https?:\/\//, "")}`];
  if (call.keyed) lines.push(`${HEADER}: ${call.key || "YOUR_KEY"}`);
  if (call.body) lines.push("Content-Type: application/json", `Content-Length: ${new TextEncoder().encode(body).length}`);
  lines.push("Connection: close", "", body);
  return lines.join("\n");
}

// Python

const pythonKey = (call) => (call.key ? pythonString(call.key) : `os.environ["${VARIABLE}"]`);

const PYTHON_TEXT = {
  "get-data": { whole: `answer["generated_text"]`, piece: `event["generated_text"]` },
  chat: { whole: `answer["choices"][0]["message"]["content"]`, piece: `event["choices"][0]["delta"].get("content") or ""` },
  completion: { whole: `answer["choices"][0]["text"]`, piece: `event["choices"][0]["text"]` },
};

function pythonHeaders(call, indent) {
  const headers = [];
  if (call.body) headers.push(`"Content-Type": "application/json"`);
  if (call.keyed) headers.push(`"${HEADER}": ${pythonKey(call)}`);
  return headers.length ? `{\n${headers.map((one) => `${indent}    ${one},\n`).join("")}${indent}}` : "{}";
}

/** The lines that print a stream's pieces as they come; a failure may still come after the first ones. */
function pythonEvents(call, lines, indent) {
  const guard = call.kind === "get-data" ? "" : `${indent}        if event["choices"]:\n    `;
  return [
    `for line in ${lines}:`,
    `    if line.startswith(b"data: {"):`,
    `        event = json.loads(line[len(b"data: ") :])`,
    `        if "code" in event:  # it failed after the first words`,
    `            sys.exit(event["message"])`,
    `${guard.slice(indent.length)}${guard ? indent : ""}        print(${PYTHON_TEXT[call.kind].piece}, end="", flush=True)`,
  ].map((line) => `${indent}${line}\n`).join("");
}

function urllib(call) {
  const imports = new Set(["urllib.error", "urllib.request", "sys"]);
  if (call.keyed && !call.key) imports.add("os");
  if (call.body) imports.add("json");
  let code = [...imports].sort().map((name) => `import ${name}\n`).join("") + "\n";
  if (call.body) code += `body = ${python(call.body)}\n`;
  code += `request = urllib.request.Request(\n    ${pythonString(url(call))},\n`;
  if (call.body) code += `    data=json.dumps(body).encode("utf-8"),\n`;
  code += `    headers=${pythonHeaders(call, "    ")},\n    method="${call.method}",\n)\n`;
  code += `try:\n    with urllib.request.urlopen(request, timeout=600) as response:\n`;
  if (call.kind === "plain") code += `        print(response.read().decode("utf-8"))\n`;
  else if (streams(call)) code += pythonEvents(call, "response", "        ");
  else code += `        answer = json.load(response)\n        print(${PYTHON_TEXT[call.kind].whole})\n`;
  return code + `except urllib.error.HTTPError as error:\n    sys.exit(error.read().decode("utf-8"))\n`;
}

function requests(call) {
  const own = ["sys"];
  if (call.keyed && !call.key) own.push("os");
  if (streams(call)) own.push("json");
  let code = own.sort().map((name) => `import ${name}\n`).join("") + "\nimport requests\n\n";
  if (call.body) code += `body = ${python(call.body)}\n`;
  code += `response = requests.${call.method.toLowerCase()}(\n    ${pythonString(url(call))},\n`;
  if (call.keyed) code += `    headers={"${HEADER}": ${pythonKey(call)}},\n`;
  if (call.body) code += `    json=body,\n`;
  if (streams(call)) code += `    stream=True,\n`;
  code += `    timeout=600,\n)\nif not response.ok:\n    sys.exit(response.text)\n`;
  if (call.kind === "plain") return code + `print(response.text)\n`;
  if (streams(call)) return code + pythonEvents(call, "response.iter_lines()", "");
  return code + `answer = response.json()\nprint(${PYTHON_TEXT[call.kind].whole})\n`;
}

/** The same call for OpenAI's packages: `{api, fields}`; null where they have none. */
export function openaiCall(call) {
  if (call.kind === "completion" || call.kind === "chat") return { api: call.kind, fields: { ...call.body } };
  if (call.kind !== "get-data") return null;
  const { prompt, "system prompt": system, response_format: format, ...fields } = call.body;
  const messages = [{ role: "user", content: prompt }];
  if (system?.trim()) messages.unshift({ role: "system", content: system });
  if (format) fields.response_format = named(format);
  return { api: "chat", fields: { messages, ...fields } };
}

const named = (format) =>
  format.json_schema ? { ...format, json_schema: { name: "answer", ...format.json_schema } } : format;

function openaiPython(call) {
  const { api, fields } = openaiCall(call);
  const name = call.azure ? "AzureOpenAI" : "OpenAI";
  const settings = call.azure
    ? [`azure_endpoint=${pythonString(call.origin)}`, `api_version=${pythonString(call.azure.version)}`]
    : [`base_url=${pythonString(call.origin + "/v1")}`];
  const key = call.key ? pythonString(call.key) : `os.environ["${VARIABLE}"]`;
  let code = `${call.key ? "" : "import os\n\n"}from openai import ${name}\n\n`;
  code += `client = ${name}(${[...settings, `api_key=${key}`].join(", ")})\n`;
  code += `${streams(call) ? "stream" : "completion"} = client.${api === "chat" ? "chat." : ""}completions.create(\n`;
  const chosen = call.azure?.deployment ?? fields.model;
  code += `    model=${chosen ? pythonString(chosen) : "client.models.list().data[0].id"},\n`;
  const beside = {};
  for (const [field, value] of Object.entries(fields)) {
    if (field === "model") continue;
    if (ARGUMENTS[api].has(field)) code += `    ${field}=${python(value, "    ")},\n`;
    else beside[field] = value;
  }
  if (Object.keys(beside).length) code += `    extra_body=${python(beside, "    ")},\n`;
  code += ")\n";
  const piece = api === "chat" ? "chunk.choices[0].delta.content or \"\"" : "chunk.choices[0].text";
  if (streams(call)) {
    return code + `for chunk in stream:\n    if chunk.choices:\n        print(${piece}, end="", flush=True)\n`;
  }
  return code + `print(completion.choices[0].${api === "chat" ? "message.content" : "text"})\n`;
}

// JavaScript

const javascriptKey = (call) => (call.key ? quoted(call.key) : `process.env.${VARIABLE}`);

const JAVASCRIPT_TEXT = {
  "get-data": { whole: "answer.generated_text", piece: "event.generated_text" },
  chat: { whole: "answer.choices[0].message.content", piece: `event.choices[0]?.delta.content ?? ""` },
  completion: { whole: "answer.choices[0].text", piece: `event.choices[0]?.text ?? ""` },
};

const indented = (text, indent) => text.replaceAll("\n", "\n" + indent);

function fetchSample(call) {
  const headers = [];
  if (call.body) headers.push(`"Content-Type": "application/json"`);
  if (call.keyed) headers.push(`"${HEADER}": ${javascriptKey(call)}`);
  let code = `const response = await fetch(${quoted(url(call))}, {\n  method: "${call.method}",\n`;
  if (headers.length) code += `  headers: {\n${headers.map((one) => `    ${one},\n`).join("")}  },\n`;
  if (call.body) code += `  body: JSON.stringify(${indented(json(call.body), "  ")}),\n`;
  code += `});\nif (!response.ok) throw new Error(await response.text());\n`;
  if (call.kind === "plain") return code + `console.log(await response.text());\n`;
  if (!streams(call)) return code + `const answer = await response.json();\nconsole.log(${JAVASCRIPT_TEXT[call.kind].whole});\n`;
  return code + `let rest = "";
for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\\n");
  rest = lines.pop();
  for (const line of lines) {
    if (!line.startsWith("data: {")) continue;
    const event = JSON.parse(line.slice("data: ".length));
    if (event.code) throw new Error(event.message); // it failed after the first words
    process.stdout.write(${JAVASCRIPT_TEXT[call.kind].piece});
  }
}
`;
}

function openaiNode(call) {
  const { api, fields } = openaiCall(call);
  const name = call.azure ? "AzureOpenAI" : "OpenAI";
  const settings = call.azure
    ? [`endpoint: ${quoted(call.origin)}`, `apiVersion: ${quoted(call.azure.version)}`]
    : [`baseURL: ${quoted(call.origin + "/v1")}`];
  let code = `import ${call.azure ? "{ AzureOpenAI }" : "OpenAI"} from "openai";\n\n`;
  code += `const client = new ${name}({ ${[...settings, `apiKey: ${javascriptKey(call)}`].join(", ")} });\n`;
  const { model, ...others } = fields; // each an identifier: the API knows no other names here
  const chosen = call.azure?.deployment ?? model;
  if (!chosen) code += `const models = await client.models.list();\n`;
  code += `const ${streams(call) ? "stream" : "completion"} = await client.${api === "chat" ? "chat." : ""}completions.create({\n`;
  code += `  model: ${chosen ? quoted(chosen) : "models.data[0].id"},\n`;
  for (const [field, value] of Object.entries(others)) code += `  ${field}: ${indented(json(value), "  ")},\n`;
  code += "});\n";
  const piece = api === "chat" ? `chunk.choices[0]?.delta.content ?? ""` : `chunk.choices[0]?.text ?? ""`;
  if (streams(call)) return code + `for await (const chunk of stream) process.stdout.write(${piece});\n`;
  return code + `console.log(completion.choices[0].${api === "chat" ? "message.content" : "text"});\n`;
}

// The others print the answer as it comes, byte by byte: what it holds is JSON, or server-sent events.

function java(call) {
  const key = call.key ? quoted(call.key) : `System.getenv("${VARIABLE}")`;
  const lines = [`HttpRequest request = HttpRequest.newBuilder(URI.create(${quoted(url(call))}))`];
  if (call.body) lines.push(`    .header("Content-Type", "application/json")`);
  if (call.keyed) lines.push(`    .header("${HEADER}", ${key})`);
  lines.push(call.body ? `    .POST(HttpRequest.BodyPublishers.ofString(body))` : `    .${call.method}()`, `    .build();`);
  const body = call.body ? `        String body = ${javaLines(asciiJson(call.body), "            ")};\n` : "";
  return `import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class Sample {
    public static void main(String[] arguments) throws Exception {
${body}${lines.map((line) => `        ${line}\n`).join("")}        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        HttpResponse<InputStream> response = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
        response.body().transferTo(new FileOutputStream(FileDescriptor.out));
        System.exit(response.statusCode() == 200 ? 0 : 1);
    }
}
`;
}

function php(call) {
  const key = call.key ? single(`${HEADER}: ${call.key}`) : `'${HEADER}: ' . getenv('${VARIABLE}')`;
  const options = [];
  if (call.body) options.push(`CURLOPT_POST => true`, `CURLOPT_POSTFIELDS => $body`);
  const headers = [];
  if (call.body) headers.push(`'Content-Type: application/json'`);
  if (call.keyed) headers.push(key);
  if (headers.length) options.push(`CURLOPT_HTTPHEADER => [\n${headers.map((one) => `        ${one},\n`).join("")}    ]`);
  options.push(`CURLOPT_WRITEFUNCTION => function ($curl, $piece) {\n        echo $piece;\n        return strlen($piece);\n    }`);
  return `<?php
${call.body ? `$body = ${single(json(call.body))};\n` : ""}$curl = curl_init(${single(url(call))});
curl_setopt_array($curl, [
${options.map((one) => `    ${one},\n`).join("")}]);
if (!curl_exec($curl)) {
    fwrite(STDERR, curl_error($curl) . PHP_EOL);
    exit(1);
}
exit(curl_getinfo($curl, CURLINFO_RESPONSE_CODE) === 200 ? 0 : 1);
`;
}

function csharp(call) {
  const key = call.key ? quoted(call.key) : `Environment.GetEnvironmentVariable("${VARIABLE}")`;
  const method = call.method[0] + call.method.slice(1).toLowerCase();
  return `using System;
using System.Net.Http;
using System.Text;
using System.Threading;

${call.body ? `var body = ${verbatim(json(call.body))};\n` : ""}using var client = new HttpClient { Timeout = Timeout.InfiniteTimeSpan };
using var request = new HttpRequestMessage(HttpMethod.${method}, ${quoted(url(call))});
${call.keyed ? `request.Headers.Add("${HEADER}", ${key});\n` : ""}${call.body ? `request.Content = new StringContent(body, Encoding.UTF8, "application/json");\n` : ""}using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
using var answer = await response.Content.ReadAsStreamAsync();
await answer.CopyToAsync(Console.OpenStandardOutput());
return response.IsSuccessStatusCode ? 0 : 1;
`;
}

function ruby(call) {
  const method = call.method[0] + call.method.slice(1).toLowerCase();
  const key = call.key ? single(call.key) : `ENV.fetch("${VARIABLE}")`;
  return `require "net/http"

uri = URI(${single(url(call))})
request = Net::HTTP::${method}.new(uri)
${call.keyed ? `request["${HEADER}"] = ${key}\n` : ""}${call.body ? `request["Content-Type"] = "application/json"\nrequest.body = ${single(json(call.body))}\n` : ""}$stdout.sync = true
Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", read_timeout: 600) do |http|
  http.request(request) do |response|
    response.read_body { |piece| print piece }
    exit response.is_a?(Net::HTTPSuccess)
  end
end
`;
}

function go(call) {
  const key = call.key ? quoted(call.key) : `os.Getenv("${VARIABLE}")`;
  const imports = ["io", "log", "net/http", "os", ...(call.body ? ["strings"] : [])];
  return `package main

import (
${imports.map((name) => `\t"${name}"\n`).join("")})

func main() {
${call.body ? `\tbody := strings.NewReader(${raw(json(call.body))})\n` : ""}\trequest, err := http.NewRequest("${call.method}", ${quoted(url(call))}, ${call.body ? "body" : "nil"})
\tif err != nil {
\t\tlog.Fatal(err)
\t}
${call.body ? `\trequest.Header.Set("Content-Type", "application/json")\n` : ""}${call.keyed ? `\trequest.Header.Set("${HEADER}", ${key})\n` : ""}\tresponse, err := http.DefaultClient.Do(request)
\tif err != nil {
\t\tlog.Fatal(err)
\t}
\tdefer response.Body.Close()
\tif _, err := io.Copy(os.Stdout, response.Body); err != nil {
\t\tlog.Fatal(err)
\t}
\tif response.StatusCode != http.StatusOK {
\t\tos.Exit(1)
\t}
}
`;
}

const forOpenai = (call) => openaiCall(call) !== null;

const LANGUAGES = [
  { id: "curl", label: "curl", run: "paste it into a shell", write: curl },
  { id: "http", label: "HTTP", run: "what goes over the wire; its lines end with CR LF there", write: http },
  { id: "python-urllib", label: "Python · urllib", run: "python3 sample.py", write: urllib },
  { id: "python-requests", label: "Python · requests", run: "pip install requests\npython3 sample.py", write: requests },
  { id: "python-openai", label: "Python · openai", run: "pip install openai\npython3 sample.py", write: openaiPython, fits: forOpenai },
  { id: "javascript-fetch", label: "JavaScript · fetch", run: "node sample.mjs", write: fetchSample },
  { id: "javascript-openai", label: "JavaScript · openai", run: "npm install openai\nnode sample.mjs", write: openaiNode, fits: forOpenai },
  { id: "java", label: "Java", run: "java Sample.java", write: java },
  { id: "php", label: "PHP", run: "php sample.php", write: php },
  { id: "csharp", label: "C#", run: "dotnet run, with this as Program.cs", write: csharp },
  { id: "ruby", label: "Ruby", run: "ruby sample.rb", write: ruby },
  { id: "go", label: "Go", run: "go run sample.go", write: go },
];
