#!/usr/bin/env php
<?php
// Ask the gateway from PHP 8 with the cURL extension.
//
//   GATEWAY_URL=http://127.0.0.1:8000 GATEWAY_KEY=... php get_data.php \
//     [--stream] [--temperature N] [--max-tokens N] [--seed N] OPERATION PROMPT [SYSTEM_PROMPT]
//
// OPERATION is get-data or system-prompt-get-data. Prints one JSON document: what came back.
declare(strict_types=1);

const PATHS = ['get-data' => '/Get%20Data', 'system-prompt-get-data' => '/System%20Prompt%20Get%20Data'];

$options = getopt('', ['stream', 'temperature:', 'max-tokens:', 'seed:'], $rest);
[$operation, $prompt, $systemPrompt] = array_slice($argv, $rest) + [null, null, null];
if (!isset(PATHS[$operation ?? ''], $prompt)) {
    fwrite(STDERR, "usage: get_data.php [options] get-data|system-prompt-get-data PROMPT [SYSTEM_PROMPT]\n");
    exit(2);
}

// Fields that are not set are left out, so that the model's own defaults hold.
$number = fn (string $name) => isset($options[$name]) ? $options[$name] + 0 : null;
$body = array_filter([
    'prompt' => $prompt,
    'system prompt' => $systemPrompt,
    'temperature' => $number('temperature'),
    'max_tokens' => $number('max-tokens'),
    'seed' => $number('seed'),
    'stream' => isset($options['stream']) ? true : null,
], fn ($value) => $value !== null);

$requestHeaders = ['Content-Type: application/json', 'Cache-Control: no-cache'];
if ($key = getenv('GATEWAY_KEY')) {
    $requestHeaders[] = "Ocp-Apim-Subscription-Key: $key";
}

$headers = [];
$received = ''; // a plain answer's body; of a stream, the event that is not complete yet
$seen = ['pieces' => [], 'last' => null, 'done' => false, 'error' => null, 'chunkArrivals' => 0];
$isStream = function () use (&$headers) {
    return str_starts_with($headers['content-type'] ?? '', 'text/event-stream');
};

$takeEvent = function (string $event) use (&$seen): void {
    $lines = preg_split('/\r\n|\n|\r/', $event);
    $data = implode("\n", preg_replace('/^data: ?/', '', preg_grep('/^data:/', $lines)));
    if ($data === '[DONE]') {
        $seen['done'] = true;
    } elseif (preg_grep('/^event: ?error$/', $lines)) {
        $seen['error'] = json_decode($data, flags: JSON_THROW_ON_ERROR);
    } elseif ($data !== '') {
        $answer = json_decode($data, flags: JSON_THROW_ON_ERROR);
        if (property_exists($answer, 'finish_reason')) {
            $seen['last'] = $answer;
        } else {
            $seen['pieces'][] = $answer->generated_text;
        }
    }
};

$curl = curl_init(getenv('GATEWAY_URL') . PATHS[$operation]);
curl_setopt_array($curl, [
    CURLOPT_POST => true,
    CURLOPT_HTTPHEADER => $requestHeaders,
    CURLOPT_POSTFIELDS => json_encode($body, JSON_THROW_ON_ERROR),
    CURLOPT_CONNECTTIMEOUT => 10,
    CURLOPT_TIMEOUT => 600,
    CURLOPT_HEADERFUNCTION => function ($curl, $line) use (&$headers) {
        [$name, $value] = explode(':', $line, 2) + [1 => ''];
        $headers[strtolower($name)] = trim($value);
        return strlen($line);
    },
    // Called for whatever has come. CURLOPT_FAILONERROR stays off: it would throw away the error's body.
    // Bytes are kept as bytes until an event is whole, so that no character is ever cut in two.
    CURLOPT_WRITEFUNCTION => function ($curl, $bytes) use (&$received, &$seen, $isStream, $takeEvent) {
        $received .= $bytes;
        if ($isStream()) {
            $seen['chunkArrivals']++;
            $events = preg_split('/\r\n\r\n|\n\n|\r\r/', $received);
            $received = array_pop($events);
            array_map($takeEvent, $events);
        }
        return strlen($bytes);
    },
]);
$complete = curl_exec($curl);
$status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
fwrite(STDERR, $complete ? '' : curl_error($curl) . "\n");
if (!$status || !$complete && !$isStream()) { // half an answer is none; of a stream, what came is shown
    exit(1);
}
$type = $headers['content-type'] ?? '';
$about = ['status' => $status, 'contentType' => $type, 'traceId' => $headers['x-trace-id'] ?? null];
$answer = [
    'wwwAuthenticate' => $headers['www-authenticate'] ?? null,
    'body' => json_decode($received) ?? $received, // stays text where it is no JSON, such as a proxy's page
];
echo json_encode($about + ($isStream() ? $seen : $answer), JSON_THROW_ON_ERROR), "\n";
