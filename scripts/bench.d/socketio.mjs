// A server for scripts/bench: Socket.IO with the events of the usual tutorials, sent to the rest of the room.
// Argument: the port.
import { createServer } from "node:http";
import { createRequire } from "node:module";

// Installed in the working directory of the bench, not beside this file.
const { Server } = createRequire(process.cwd() + "/")("socket.io");

const http = createServer();
new Server(http).on("connection", (socket) => {
  socket.on("join", ({ userId, roomId }) => {
    socket.join(roomId);
    socket.emit("joined", { userId, roomId });
    socket.to(roomId).emit("welcome", { userId, roomId });
    socket.on("leave", () => {
      socket.leave(roomId);
      socket.to(roomId).emit("bye", { userId, roomId });
    });
  });
  for (const event of ["offer", "answer", "candidate"]) {
    socket.on(event, (message) => socket.to(message.roomId).emit(event, message));
  }
});
http.listen(Number(process.argv[2]), "127.0.0.1", 4096);
