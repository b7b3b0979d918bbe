// A rival of scripts/bench: npm's ws and a relay by room that looks into nothing. The room stands in the URL.
// Arguments: the port, and for TLS the files of certificate and key.
import { createServer as createPlain } from "node:http";
import { createServer as createTls } from "node:https";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Installed where the bench works, not beside this file.
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
