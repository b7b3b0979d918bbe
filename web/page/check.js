/** Whether the STUN and TURN servers work from here: each is tried alone. */

import { $, make } from "./dom.js";
import { Log } from "./log.js";
import { t } from "./text.js";

/** Chromium itself waits 40 s for an answer by UDP. */
const DEADLINE_MS = 8_000;
const UNAUTHORIZED = 401;
/** A browser's own word; those of servers are smaller. */
const NOT_REACHABLE = 701;

export const isTurn = ({ urls }) => urls.startsWith("turn");

/** Each URL as a server of its own. */
export function serversOf({ iceServers }) {
	return iceServers.flatMap((server) => [server.urls].flat().map((urls) => ({ ...server, urls })));
}

export function readyCheck(call) {
	const show = (...lines) => $("checked").replaceChildren(...lines);
	show();
	$("check").onclick = async () => {
		show(say("p", "trying"));
		const servers = serversOf(call);
		const found = await Promise.all(servers.map((server) => tryOne(server).catch(() => "fails")));
		Log.add("check", ...found);
		if (call.state === "closed") return;
		const usable = servers.filter((_, at) => /works|same/.test(found[at]));
		const all = usable.some(isTurn) ? "turn" : call.candidatePolicy === "relay" ? "relay" : usable.length > 0 ? "stun" : "none";
		show(
			say("p", all),
			...servers.map(({ urls }, at) => make("p", { className: "hint" }, urls, ": ", say("b", found[at]))),
		);
	};
}

/** Words that change with the language. */
function say(tag, word) {
	return make(tag, { dataset: { t: `check_${word}` } }, t(`check_${word}`));
}

async function tryOne(server) {
	const pc = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: isTurn(server) ? "relay" : "all" });
	const errors = [];
	const end = await new Promise((done) => {
		pc.onicecandidate = ({ candidate }) => {
			if (!candidate) done();
			else if (/ typ (srflx|relay)/.test(candidate.candidate)) done("works");
		};
		pc.onicecandidateerror = ({ errorCode }) => errors.push(errorCode);
		setTimeout(done, DEADLINE_MS, "silent");
		pc.createDataChannel("");
		pc.setLocalDescription();
	});
	pc.close();
	if (end === "works") return end;
	const code = Math.min(...errors);
	if (code === UNAUTHORIZED) return "refused";
	if (code < NOT_REACHABLE) return "fails";
	if (end || code === NOT_REACHABLE) return "silent";
	// An answer with the address that we have ourselves gives no candidate.
	return isTurn(server) ? "fails" : "same";
}
