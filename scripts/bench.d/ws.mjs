// A server for scripts/bench: npm's ws, and a relay that broadcasts in a room without parsing. The URL names the room.
// Arguments: the port, and for TLS the certificate and key files.
import { createServer as createPlain } from "node:http";
import { createServer as createTls } from "node:https";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Installed in the working directory of the bench, not beside this file.
const { WebSocketServer } = createRequire(process.cwd() + "/")("ws");

const [port, cert, key] = process.argv.slice(2);
const http = cert ? createTls({ cert: readFileSync(cert), key: readFileSync(key) }) : createPlain();
const rooms = new Map();

new WebSocketServer({ server: http, perMessageDeflate: false }).on("connection", (socket, request) => {
  const name = new URL(request.url, "http://localhost").searchParams.get("room");
  if (!rooms.has(name)) rooms.set(name, new Set());
  const room = rooms.get(name);
  room.add(socket);
  socket.on("message", (data) => {
    for (const other of room) if (other !== socket) other.send(data, { binary: false });
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    room.delete(socket);
    if (!room.size) rooms.delete(name);
  });
});
http.listen(Number(port), "127.0.0.1", 4096);
