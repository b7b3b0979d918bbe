/** One stay in one room: between the call and the tiles, panels and buttons. */
"use strict";

const SPEAKING_MS = 400;
const STATS_MS = 3_000;
/** After this a connection that does not come up is called failed. */
const PATIENCE_MS = 15_000;
/** Louder than this counts as speaking. */
const LOUD = 0.02;
const LOUD_OWN = 0.45;

class Room {
	#media;
	#tiles;
	#panels;
	#channel;
	#call;
	#entered = false;
	#timers = [];
	#totals = new Map();
	#name;
	#hooks;
	#picture = null;
	/** Whether the first attempt to reach the relay has failed. */
	unreachable = false;

	constructor({ media, tiles, panels, url, room, name, token }, hooks) {
		this.#media = media;
		this.#tiles = tiles;
		this.#panels = panels;
		this.#name = name;
		this.#hooks = hooks;
		this.room = room;
		this.#channel = new SignalingChannel(url);
		this.#call = new Call(this.#channel, (event, detail) => this.#heard(event, detail));
		this.#channel.on("state", (event) => this.#relayState(event));
		this.#channel.on("joined", (event) => this.#joined(event));
		this.#channel.on("refused", (refusal) => hooks.onrefused(refusal));
		this.#channel.on("error", ({ code, message }) => Log.add("error", code, message));
		this.#channel.on("goaway", () => Log.add("goaway"));
		this.#call.send(media.tracks, media.described);
		this.#channel.join(room, { name, token });
	}

	/** How things stand, as body[data-state] says it. */
	get state() {
		if (!this.#entered) return "connecting";
		if (this.#channel.state !== "joined") return "reconnecting";
		if (this.#call.members.size === 0) return "waiting";
		return this.#call.up ? "connected" : "connecting";
	}

	get words() {
		const others = this.#call.others;
		const names = others.map(({ name }) => name || t("someone")).join(", ");
		if (!this.#entered) return t(this.unreachable ? "s_unreachable" : "s_relay");
		return t(`s_${this.state}`, { names, n: others.length + 1 });
	}

	retry() {
		this.#channel.reconnect();
	}

	/** Hangs up, or gives up joining. */
	leave() {
		this.#timers.forEach(clearInterval);
		this.#channel.close();
		this.#call.close();
		this.#tiles.clear();
		this.#panels.clear();
		Log.add("left");
	}

	/** @returns {string|null} why it was not sent */
	sendChat(text) {
		if (this.#channel.state !== "joined") return t("chat_away");
		if (this.#call.members.size === 0) return t("chat_alone");
		return this.#call.chat(text) ? null : t("chat_away");
	}

	render() {
		if (!this.#entered) return;
		this.#call.send(this.#media.tracks, this.#media.described);
		this.#media.fit(this.#call.members.size);
		this.#showSelf();
		for (const member of this.#call.others) this.#showMember(member);
		$("alone").hidden = this.#call.members.size > 0;
	}

	#relayState({ state, retryInMs, code, reason }) {
		Log.add("relay", state, ...(state === "waiting" ? [`code=${code}`, reason, `again in ${retryInMs} ms`] : []));
		page.relay = state;
		if (state === "waiting" && !this.#entered) this.unreachable = true;
		this.#hooks.onstate();
	}

	#joined({ id, peers, again }) {
		Log.add("joined", id, `others=${peers.length}`);
		page.id = id;
		if (again) toast(t("back"));
		if (!this.#entered) {
			this.#entered = true;
			this.#timers = [setInterval(() => this.#showSpeaking(), SPEAKING_MS), setInterval(() => this.#showStats(), STATS_MS)];
			this.#hooks.onentered();
		}
		this.render();
		this.#hooks.onstate();
	}

	#heard(event, { member, reason, text, error, fresh, wasThere }) {
		const name = member?.name || t("someone");
		switch (event) {
			case "chat":
				return this.#panels.addChat(member.id, name, text);
			case "problem":
				return Log.problem(error);
			case "gone":
				this.#tiles.remove(member.key);
				this.#panels.removePerson(member.key);
				this.#totals.delete(member.key);
				Log.add("peer", member.key, "gone:", reason);
				if (reason === "left") toast(t(this.#call.members.size ? "went" : "other_left", { name }));
				if (reason === "lost") toast(t("lost", { name }));
				break;
			case "member":
				if (fresh && !wasThere) toast(t("came", { name }));
				Log.add("peer", member.key, member.id, member.link.state, member.present ? "" : "not with the relay");
		}
		this.render();
		this.#hooks.onstate();
	}

	#showSelf() {
		const own = this.#media;
		const picture = own.screen ?? own.camera;
		if (this.#picture?.getVideoTracks()[0] !== picture) this.#picture = picture ? new MediaStream([picture]) : null;
		this.#tiles.show({
			key: "self",
			peer: "self",
			name: this.#name ? t("name_you", { name: this.#name }) : t("you"),
			stream: this.#picture,
			connection: "connected",
			...own.described,
		});
	}

	/** What arrives counts where a page says nothing of its media. */
	#showMember(member) {
		const { link, media } = member;
		const arrives = (kind) => link.stream.getTracks().some((track) => track.kind === kind && !track.muted && track.readyState === "live");
		const silent = media.video === undefined;
		this.#tiles.show({
			key: member.key,
			peer: member.id,
			name: member.name,
			stream: link.stream,
			audio: silent ? arrives("audio") : media.audio,
			video: silent ? (arrives("video") ? "camera" : "off") : media.video,
			connection: link.state,
			present: member.present,
			note: this.#noteOf(link.state, Date.now() - member.linkedAt),
		});
	}

	/** Without any candidates a connection stays "new" for ever. */
	#noteOf(state, age) {
		if (state === "connected" || state === "closed") return "";
		if (state === "disconnected") return t("t_disconnected");
		if (state !== "failed" && age < PATIENCE_MS) return t("t_new");
		return `${t("t_failed")} ${t(this.#call.hasTurn ? "help_turn_has" : "help_turn")}`;
	}

	#showSpeaking() {
		this.#tiles.setSpeaking("self", this.#media.level() > LOUD_OWN);
		for (const { key, link } of this.#call.others) {
			const receiver = link.pc.getReceivers().find(({ track }) => track.kind === "audio");
			const source = receiver?.getSynchronizationSources()[0];
			const recent = source && performance.timeOrigin + performance.now() - source.timestamp < 1_000;
			this.#tiles.setSpeaking(key, Boolean(recent) && (source.audioLevel ?? 0) > LOUD);
		}
	}

	async #showStats() {
		for (const member of this.#call.others) {
			const { key, link } = member;
			try {
				const reading = await readStats(link.pc, this.#totals.get(key), this.#call.onlyLocal);
				if (!this.#call.members.has(member.id)) continue;
				if (link.state !== "connected") this.#showMember(member);
				this.#totals.set(key, reading.totals);
				const path = t(`path_${reading.path || "none"}`);
				const quality = reading.quality ? t(`quality_${reading.quality}`) : "";
				this.#tiles.setQuality(key, reading, [path, quality].filter(Boolean).join(" · "));
				this.#panels.showPerson(key, member.id, member.name || t("someone"), rowsOf(reading, path, quality, link));
			} catch (error) {
				Log.problem(error);
			}
		}
	}
}

function rowsOf({ rttMs, lossPercent, received, sent }, path, quality, link) {
	const picture = ({ width, height, fps, kbps }) => `${width ? `${width}×${height}, ${fps}/s, ` : ""}${kbps} kbit/s`;
	const number = safetyNumber(link.fingerprints);
	const rows = [
		["path", path],
		["quality", quality || "–"],
		["rtt", rttMs === null ? "–" : `${rttMs} ms`],
		["loss", lossPercent === null ? "–" : `${lossPercent.toFixed(1)} %`],
		["receives", picture(received)],
		["sends", picture(sent)],
	];
	if (number) rows.push(["safety", `${number} · ${t("safety_hint")}`]);
	return rows.map(([key, value]) => [t(key), value]);
}
