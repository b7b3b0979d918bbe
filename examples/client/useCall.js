// A React hook: const { members, send } = useCall("my-room", { name: "Ana", onMessage });
import { useEffect, useRef, useState } from "react";
import { Call } from "signaling-relay-client";

export function useCall(room, { url, name, onMessage }) {
  const [members, setMembers] = useState([]);
  const call = useRef(null);
  const listener = useRef(onMessage);
  listener.current = onMessage;
  useEffect(() => {
    const mine = (call.current = new Call({ url }));
    const update = () => setMembers([...mine.members]);
    for (const type of ["member", "gone", "stream"]) mine.on(type, update);
    mine.on("message", (event) => listener.current?.(event));
    mine.join(room, { name });
    return () => mine.close();
  }, [room, url, name]);
  return { members, send: (data, member) => call.current.send(data, member) };
}
