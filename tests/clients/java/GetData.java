import java.io.*;
import java.net.*;
import java.util.*;
import java.util.regex.*;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Ask the gateway from Java 11 or newer: java GetData.java [--stream] [--raw-path] [--temperature N]
 * [--max-tokens N] [--seed N] get-data|system-prompt-get-data PROMPT [SYSTEM_PROMPT], with GATEWAY_URL and
 * GATEWAY_KEY in the environment. Prints one JSON document: what came back. The JDK has no JSON parser, so
 * this program hands JSON on as it came; your own would use Jackson or Gson.
 */
public class GetData {
  static final Pattern PIECE = Pattern.compile("\"generated_text\"\\s*:\\s*(\"(?:[^\"\\\\]++|\\\\.)*+\")");
  static final Pattern TO_ESCAPE = Pattern.compile("[\"\\\\\\x00-\\x1f]");

  public static void main(String[] args) throws IOException {
    // By default a POST whose connection breaks is sent again unasked, and its tokens are charged twice.
    System.setProperty("sun.net.http.retryPost", "false");
    List<String> words = new ArrayList<>();
    String options = "";
    boolean rawPath = false;
    for (int i = 0; i < args.length; i++) {
      if (args[i].equals("--raw-path")) rawPath = true;
      else if (args[i].equals("--stream")) options += ", \"stream\": true";
      else if (args[i].startsWith("--"))
        options += ", " + quote(args[i].substring(2).replace('-', '_')) + ": " + args[++i];
      else words.add(args[i]);
    }
    String path = words.get(0).equals("get-data") ? "/Get Data" : "/System Prompt Get Data";
    String system = words.size() > 2 ? ", \"system prompt\": " + quote(words.get(2)) : "";
    String body = "{\"prompt\": " + quote(words.get(1)) + system + options + "}";

    // URL does not encode: a space in it goes out as a space, which not every server takes.
    URL url = new URL(System.getenv("GATEWAY_URL") + (rawPath ? path : path.replace(" ", "%20")));
    HttpURLConnection connection = (HttpURLConnection) url.openConnection();
    connection.setRequestMethod("POST");
    connection.setRequestProperty("Content-Type", "application/json");
    connection.setRequestProperty("Cache-Control", "no-cache");
    String key = System.getenv("GATEWAY_KEY");
    if (key != null && !key.isEmpty()) connection.setRequestProperty("Ocp-Apim-Subscription-Key", key);
    connection.setReadTimeout(600_000);
    connection.setDoOutput(true);
    // No setFixedLengthStreamingMode: with it, the body of a 401 is lost.
    connection.getOutputStream().write(body.getBytes(UTF_8)); // getBytes() alone follows the locale
    int status = connection.getResponseCode();
    // getInputStream throws for a status of 400 and up; the error's body has a stream of its own.
    InputStream in = status < 400 ? connection.getInputStream() : connection.getErrorStream();
    String type = Objects.toString(connection.getContentType(), "");
    String answer = type.startsWith("text/event-stream") ? readStream(in)
        : "\"wwwAuthenticate\": " + quote(connection.getHeaderField("WWW-Authenticate"))
        + ", \"body\": " + readBody(connection, in);
    new PrintStream(System.out, true, UTF_8).printf(
        "{\"status\": %d, \"contentType\": %s, \"traceId\": %s, %s}%n",
        status, quote(type), quote(connection.getHeaderField("X-Trace-Id")), answer);
  }

  static String readBody(HttpURLConnection connection, InputStream in) throws IOException {
    byte[] bytes = in == null ? new byte[0] : in.readAllBytes();
    // Java does not compare the lengths itself: half an answer would pass for a whole one.
    if (bytes.length < connection.getContentLengthLong()) throw new EOFException("the answer broke off");
    String text = new String(bytes, UTF_8);
    return text.startsWith("{") ? text : quote(text); // a proxy's page is no JSON and stays text
  }

  static String readStream(InputStream in) {
    // Gives a line as soon as it has come, and keeps a character cut in two until it is whole.
    BufferedReader reader = new BufferedReader(new InputStreamReader(in, UTF_8));
    List<String> pieces = new ArrayList<>();
    String data = "", event = "", last = null, error = null;
    boolean done = false, waits = true;
    int arrivals = 0;
    try {
      for (String line; (line = reader.readLine()) != null; waits = !reader.ready()) {
        if (waits) arrivals++; // nothing was left to read, and then more came
        if (line.startsWith("data:")) data += line.substring(5) + "\n"; // an event may have several
        else if (line.startsWith("event:")) event = line.substring(6).strip();
        else if (line.isEmpty()) { // the event's end
          Matcher piece = PIECE.matcher(data);
          if (data.strip().equals("[DONE]")) done = true;
          else if (event.equals("error")) error = data;
          else if (data.contains("\"finish_reason\"")) last = data;
          else if (piece.find()) pieces.add(piece.group(1));
          data = event = "";
        }
      }
    } catch (IOException e) {
      System.err.println("the stream broke off: " + e);
    }
    return String.format("\"pieces\": %s, \"last\": %s, \"done\": %s, \"error\": %s, \"chunkArrivals\": %d",
        pieces, last, done, error, arrivals);
  }

  static String quote(String text) {
    return text == null ? "null" : '"' + TO_ESCAPE.matcher(text).replaceAll(
        found -> String.format("\\\\u%04x", (int) found.group().charAt(0))) + '"';
  }
}
