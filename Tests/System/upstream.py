"""A server that speaks OpenAI's chat completions, on loopback, and misbehaves when told to.

upstream.py FOLDER [CERTIFICATE KEY]

It writes its port to FOLDER/port, reads how to behave from FOLDER/mode before each answer, and appends each request as a
line of JSON to FOLDER/requests: target, headers, body."""
import http.server
import json
import os
import socket
import ssl
import sys
import time

folder = sys.argv[1]


def mode():
    with open(os.path.join(folder, "mode")) as file:
        return file.read().strip()


def completion(text, prompt=100, completion=20):
    return json.dumps({
        "id": "1", "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}).encode()


def generate(path, question):
    """What the worker of skynod-infer at this socket says, and what it counts."""
    with socket.socket(socket.AF_UNIX) as worker:
        worker.settimeout(20)
        worker.connect(path)
        lines = worker.makefile("rb")
        assert lines.readline().startswith(b"SKYINFER 1 ")
        worker.sendall(b"generate tokens=12 temperature=0 " + json.dumps(question).encode() + b"\n")
        text, counts = "", {}
        for line in lines:
            line = line.decode().rstrip("\n")
            if line == "OK":
                return completion(text or "(silence)", int(counts["prompt_tokens"]), int(counts["tokens"]))
            assert not line.startswith("ERR "), line
            key, value = line.split("=", 1)
            if key == "piece":
                text += json.loads(value) if value.startswith('"') and "\\x" not in value else value
            else:
                counts[key] = value


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, body, status=200, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(os.path.join(folder, "requests"), "a") as file:
            file.write(json.dumps({"path": self.path, "headers": dict(self.headers), "body": json.loads(body)}) + "\n")
        self.close_connection = True
        try:
            self.question = json.loads(body)["messages"][1]["content"].split("Question: ")[-1]
            self.behave(mode(), self.headers.get("Authorization", ""))
        except (BrokenPipeError, ConnectionResetError):
            pass

    def behave(self, how, key):
        if how.startswith("say "):
            self.reply(completion(how[4:]))
        elif how.startswith("worker "):
            self.reply(generate(how[7:], self.question))
        elif how == "slow":
            time.sleep(1.5)
            self.reply(completion("Slowly, but well."))
        elif how == "hang":
            time.sleep(30)
        elif how == "drip":
            # A byte at a time: whole in the end, had anybody the patience.
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"{" * 1000:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.05)
        elif how == "chunked":
            body = completion("In pieces.")
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(0, len(body), 7):
                piece = body[i:i + 7]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif how == "to the end":
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + completion("To the end of the stream."))
        elif how == "garbage":
            self.wfile.write(os.urandom(3000))
        elif how == "not json":
            self.reply(b"<html>" + key.encode() + b"</html>", kind="text/html")
        elif how == "other json":
            self.reply(b'{"choices":[]}')
        elif how == "huge":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b" " * 1000000)
        elif how == "endless head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                self.wfile.write(b"X: " + b"x" * 10000 + b"\r\n")
        elif how == "endless continue":
            while True:
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        elif how == "long":
            self.reply(completion("A word. " * 1000))
        elif how == "control":
            self.reply(completion("Clean\x1b[31m\x07 me\r\n\u009b, please."))
        elif how == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        elif how == "redirect":
            self.wfile.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:%d/other\r\n"
                             b"Content-Length: 0\r\n\r\n" % server.server_port)
        else:
            # A number: that status, with a body that tells the key.
            self.reply(b'{"error":{"message":"' + key.encode() + b'"}}', status=int(how))


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(os.path.join(folder, "port.new"), "w") as file:
    file.write(str(server.server_port))
os.rename(os.path.join(folder, "port.new"), os.path.join(folder, "port"))
server.serve_forever()
