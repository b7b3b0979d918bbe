/** One stay in one room: between the call and the tiles, panels and notices. */

import { Call } from "../sdk/call.js";
import { safetyNumber } from "../sdk/proof.js";
import { Chat } from "./chat.js";
import { isTurn, readyCheck, serversOf } from "./check.js";
import { notice } from "./devices.js";
import { $, make, page, toast } from "./dom.js";
import { Log } from "./log.js";
import { shownNames } from "./names.js";
import { People } from "./people.js";
import { chime } from "./sounds.js";
import { readStats } from "./stats.js";
import { nodes, refusalKey, t } from "./text.js";

const SPEAKING_MS = 400;
const STATS_MS = 3_000;
const PATIENCE_MS = 15_000;
const LOUD = 0.02;
const LOUD_OWN = 0.45;

export class Room {
	#media;
	#tiles;
	#panels;
	#chat;
	#people;
	#timers = [];
	#totals = new Map();
	#compared = new Map();
	#hooks;
	#picture = null;
	#host = null;
	#locked = false;
	#trouble = null;
	unreachable = false;

	constructor({ media, tiles, panels, room, name, token, password }, hooks) {
		this.#media = media;
		this.#tiles = tiles;
		this.#panels = panels;
		this.#hooks = hooks;
		this.room = room;
		const call = (this.call = new Call());
		this.#chat = panels.chat = new Chat({
			onsend: (text) => this.#sendChat(text),
			isOpen: () => panels.open === "chat",
			onchange: () => panels.render(),
		});
		this.#people = new People(call);
		readyCheck(call);
		this.#listen(call);
		this.#send();
		call.join(room, { name, token, password });
	}

	get state() {
		const { call } = this;
		if (!call.hasEntered) return "connecting";
		if (call.state !== "joined") return "reconnecting";
		if (call.members.length === 0) return "waiting";
		return call.members.some(({ isConnected }) => isConnected) ? "connected" : "connecting";
	}

	get words() {
		const { call, state } = this;
		if (!call.hasEntered) return [call.state === "knocking" ? "p_door" : this.unreachable ? "s_unreachable" : "s_relay"];
		if (call.state === "refused") return ["s_apart"];
		if (call.state === "knocking") return ["s_knocking"];
		if (state === "reconnecting") return [this.#trouble === "room_full" ? "s_full" : "s_reconnecting"];
		const names = [...this.names.values()].join(", ");
		return [`s_${state}`, { names, n: call.members.length + 1 }];
	}

	get names() {
		return shownNames(this.call.members);
	}

	leave() {
		this.#timers.forEach(clearInterval);
		this.call.close();
		this.#tiles.clear();
		this.#panels.clear();
		this.#people.clear();
		Log.add("left");
	}

	render() {
		const { call } = this;
		if (!call.hasEntered) return;
		this.#send();
		this.#media.fit(call.members.length);
		const names = this.names;
		this.#showSelf();
		for (const member of call.members) this.#showMember(member, names.get(member.key));
		this.#people.render(this.#list(names));
		$("alone").hidden = call.members.length > 0 || call.state === "refused";
	}

	get notices() {
		const { refusal } = this.call;
		if (!refusal) return [];
		const { code, message } = refusal;
		const buttons = [["retry", () => this.call.rejoin()], ["hangup", this.#hooks.onhangup]];
		return [notice({ device: "relay", problem: code, key: refusalKey(code), code, message }, ...buttons)];
	}

	#send() {
		const { tracks, described } = this.#media;
		for (const [name, track] of Object.entries(tracks)) this.call.setTrack(name, track);
		this.call.setState(described);
	}

	#sendChat(text) {
		if (this.call.members.length === 0) return { why: nodes("chat_alone") };
		const missed = this.call.send({ kind: "chat", text });
		const names = missed.map(({ key }) => this.names.get(key)).join(", ");
		return { sent: missed.length < this.call.members.length && t("you"), why: names && nodes("chat_missed", { names }) };
	}

	#listen(call) {
		call.channel.on("state", (event) => this.#relayState(event));
		call.channel.on("goaway", () => Log.add("goaway"));
		call.on("state", () => this.#changed());
		call.on("joined", (event) => this.#joined(event));
		call.on("room", () => this.#roomChanged());
		call.on("refused", (event) => this.#refused(event));
		call.on("member", (event) => this.#memberChanged(event));
		call.on("gone", (event) => this.#gone(event));
		call.on("stream", () => this.#changed());
		call.on("message", ({ member, data }) => this.#told(member, data));
		call.on("server", ({ data }) => typeof data === "string" && toast("server_says", { text: data.slice(0, 300) }));
		call.on("problem", ({ error }) => Log.add(error.code ?? error.name, error.message));
	}

	#changed() {
		this.render();
		this.#hooks.onstate();
	}

	#relayState({ state, retryInMs, code, reason, error }) {
		Log.add("relay", state, ...(state === "waiting" ? [`code=${code}`, reason, `again in ${retryInMs} ms`] : []));
		page.relay = state;
		if (state !== "waiting") return;
		this.#trouble = error?.code;
		this.unreachable = !this.call.hasEntered;
	}

	#joined({ again }) {
		const { call } = this;
		Log.add("joined", call.id);
		page.id = call.id;
		this.#trouble = null;
		if (again) toast("back");
		else {
			this.#timers = [setInterval(() => this.#showSpeaking(), SPEAKING_MS), setInterval(() => this.#showStats(), STATS_MS)];
			this.#host = call.host;
			this.#locked = call.locked;
			this.#hooks.onentered();
		}
		this.#changed();
	}

	#roomChanged() {
		const { host, id, locked, members } = this.call;
		if (!this.call.hasEntered) return;
		if (locked !== this.#locked && this.#host !== null) toast(locked ? "locked" : "unlocked");
		if (host !== this.#host && this.#host !== null) {
			const member = members.find((one) => one.id === host);
			if (host === id) toast("you_host");
			else if (member) toast("is_host", { name: this.names.get(member.key) });
		}
		[this.#host, this.#locked] = [host, locked];
		this.#changed();
	}

	#refused({ error, removed }) {
		Log.add("refused", error.code, error.message);
		this.#hooks.onrefused(error, this.call.state === "refused" && !removed);
	}

	#memberChanged({ member, fresh }) {
		const { key, id, link, present } = member;
		if (fresh && !member.wasThere) {
			toast("came", { name: this.names.get(key) });
			chime("came");
		}
		Log.add("peer", key, id, link?.state ?? "queued", present ? "" : "not with the relay");
		this.#changed();
	}

	#gone({ member, reason }) {
		const { key } = member;
		const name = shownNames([...this.call.members, member]).get(key);
		this.#tiles.remove(key);
		this.#panels.forget(key);
		this.#totals.delete(key);
		this.#compared.delete(key);
		Log.add("peer", key, "gone:", reason);
		const words = { left: "went", displaced: "went", lost: "lost", kicked: "removed" }[reason];
		if (words && (member.link?.wasConnected || reason === "left")) toast(words, { name });
		if (words) chime("went");
		this.#changed();
	}

	/** Others may send anything: take what fits. */
	#told(member, data) {
		if (data?.kind !== "chat" || typeof data.text !== "string") return;
		const { key, id } = member;
		this.#chat.add({ from: id ?? "", key, name: this.names.get(key), text: data.text });
		chime("message");
	}

	#showSelf() {
		const own = this.#media;
		const picture = own.screen ?? own.camera;
		if (this.#picture?.getVideoTracks()[0] !== picture) this.#picture = picture && new MediaStream([picture]);
		this.#tiles.show({ key: "self", peer: "self", name: this.#selfName, shown: this.#selfName, stream: this.#picture, connection: "connected", ...own.described });
	}

	get #selfName() {
		const { name } = this.call;
		return name ? t("name_you", { name }) : t("you");
	}

	/** What arrives counts where a page says nothing of its media. Who is not connected yet has no tile. */
	#showMember(member, shown) {
		const { key, id, name, link, state, present, linkedAt } = member;
		if (!link) return this.#tiles.remove(key);
		const arrives = (kind) => link.stream.getTracks().some((track) => track.kind === kind && !track.muted && track.readyState === "live");
		this.#tiles.show({
			key,
			peer: id ?? "",
			name,
			shown,
			stream: link.stream,
			connection: link.state,
			present,
			audio: typeof state.audio === "boolean" ? state.audio : arrives("audio"),
			video: typeof state.video === "string" ? state.video : arrives("video") ? "camera" : "off",
			note: this.#noteOf(link, Date.now() - linkedAt),
		});
	}

	/** Without any candidates a connection stays "new" for ever. */
	#noteOf({ state, wasConnected }, age) {
		if (state === "connected" || state === "closed") return "";
		if (wasConnected) return t(state === "disconnected" ? "t_disconnected" : "t_silent");
		if (state !== "failed" && age < PATIENCE_MS) return t("t_new");
		return `${t("t_failed")} ${t(serversOf(this.call).some(isTurn) ? "help_turn_has" : "help_turn")}`;
	}

	#list(names) {
		const { described } = this.#media;
		const self = { key: "self", shown: this.#selfName, ...described, note: "" };
		const others = this.call.members.map((member) => ({
			key: member.key,
			member,
			shown: names.get(member.key),
			audio: member.state.audio !== false,
			video: member.state.video,
			note: !member.link ? t("unseen") : member.away || !member.present ? t("away") : "",
		}));
		return [self, ...others];
	}

	#showSpeaking() {
		this.#tiles.setSpeaking("self", this.#media.level() > LOUD_OWN);
		for (const { key, link } of this.call.members) {
			const receiver = link?.pc.getReceivers().find(({ track }) => track.kind === "audio");
			const source = receiver?.getSynchronizationSources()[0];
			const recent = performance.timeOrigin + performance.now() - source?.timestamp < 1_000;
			this.#tiles.setSpeaking(key, recent && source.audioLevel > LOUD);
		}
	}

	async #showStats() {
		for (const member of this.call.members) {
			const { key, link } = member;
			if (!link) continue;
			try {
				const reading = await readStats(link.pc, this.#totals.get(key), this.call.iceServers.length === 0);
				if (member.link !== link || !this.call.members.includes(member)) continue;
				const shown = this.names.get(key);
				if (link.state !== "connected") this.#showMember(member, shown);
				this.#totals.set(key, reading.totals);
				const path = t(`path_${reading.path || "none"}`);
				const quality = reading.quality ? t(`quality_${reading.quality}`) : "";
				this.#tiles.setQuality(key, reading, [path, quality].filter(Boolean).join(" · "));
				this.#panels.showNumbers({ key, peer: member.id ?? "", shown, rows: rowsOf(reading, path, quality), safety: this.#safety(member, shown) });
			} catch (error) {
				Log.problem(error);
			}
		}
	}

	#safety({ key, link }, name) {
		if (link.state !== "connected") return [];
		const number = safetyNumber(link.certificates);
		if (!number) return [make("p", { className: "hint" }, t("safety"), ": ", t("safety_none"))];
		const compared = this.#compared.get(key);
		const changed = compared !== undefined && compared !== number;
		if (changed && this.#compared.get(`${key} warned`) !== number) {
			this.#compared.set(`${key} warned`, number);
			toast("safety_changed", { name });
		}
		const box = make("input", { type: "checkbox", checked: compared === number });
		box.onchange = () => (box.checked ? this.#compared.set(key, number) : this.#compared.delete(key));
		const parts = [make("p", {}, t("safety"), make("br"), make("b", { className: "number" }, number)), make("p", { className: "hint" }, t("safety_hint"))];
		if (changed) parts.unshift(make("p", { className: "warning", role: "alert" }, ...nodes("safety_changed", { name })));
		return [...parts, make("label", { className: "check" }, box, make("span", {}, t("safety_compared")))];
	}
}

function rowsOf({ rttMs, lossPercent, received, sent }, path, quality) {
	const picture = ({ width, height, fps, kbps }) => `${width ? `${width}×${height}, ${fps}/s, ` : ""}${kbps} kbit/s`;
	const rows = [
		["path", path],
		["quality", quality || "–"],
		["rtt", rttMs === null ? "–" : `${rttMs} ms`],
		["loss", lossPercent === null ? "–" : `${lossPercent.toFixed(1)} %`],
		["receives", picture(received)],
		["sends", picture(sent)],
	];
	return rows.map(([key, value]) => [t(key), value]);
}
