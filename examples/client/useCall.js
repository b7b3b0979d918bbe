// A React hook: const { members, send } = useCall("my-room", { name: "Ana", onMessage });
import { useEffect, useRef, useState } from "react";
import { Call } from "signaling-relay-client";

/** @param {string} room @param {{ url?: string, name?: string, onMessage?: (event: any) => void }} options */
export function useCall(room, { url, name, onMessage }) {
  const [members, setMembers] = useState(/** @type {import("signaling-relay-client").Member[]} */ ([]));
  const call = useRef(/** @type {Call | null} */ (null));
  const listener = useRef(onMessage);
  useEffect(() => void (listener.current = onMessage));
  useEffect(() => {
    const mine = (call.current = new Call({ url }));
    for (const type of /** @type {const} */ (["member", "gone", "stream"])) mine.on(type, () => setMembers([...mine.members]));
    mine.on("message", (event) => listener.current?.(event));
    mine.join(room, { name });
    return () => mine.close();
  }, [room, url, name]);
  return { members, send: (/** @type {any} */ data) => call.current?.send(data) };
}
