/** The grid: a tile for each person, as large as the screen allows. */
import { $, make, mutedMark, setTool, tool } from "./dom.js";
import { Log } from "./log.js";
import { colour } from "./names.js";
import { nodes, t } from "./text.js";

const GAP = 8;
const ASPECT = 16 / 9;
/** A picture loses at most this part of its longer side to fill its tile; beyond, it is shown whole. */
const MOST_CROPPED = 0.42;
/** A strip of smaller tiles than this gets a second row. */
const SMALLEST = 64;

export class Tiles {
	pinned = null;
	#grid;
	#tiles = new Map();
	#sink = "";
	#soon = 0;

	constructor(grid) {
		this.#grid = grid;
		new ResizeObserver(() => this.arrange()).observe(grid);
	}

	show(who) {
		const tile = this.#tiles.get(who.key) ?? this.#create(who);
		const { element, video } = tile;
		Object.assign(element.dataset, {
			peer: who.peer,
			name: who.name,
			connection: who.connection,
			audio: who.audio ? "on" : "off",
			video: who.video === "camera" ? "on" : who.video === "screen" ? "screen" : "off",
			present: who.present ?? true,
		});
		tile.shown = who.shown;
		element.setAttribute("aria-label", who.shown);
		tile.label.textContent = who.shown;
		tile.initial.textContent = [...who.shown.trim()][0]?.toUpperCase() ?? "?";
		tile.muted.hidden = who.audio;
		tile.presents.hidden = who.video !== "screen";
		tile.presents.replaceChildren(...nodes(who.key === "self" ? "sharing" : "presents", { name: who.shown }));
		tile.note.textContent = who.note ?? "";
		tile.note.hidden = !who.note;
		this.#labels(tile);
		if (video.srcObject !== who.stream) video.srcObject = who.stream;
		if (who.stream && video.paused) this.play(video);
		this.#arrangeSoon();
	}

	remove(key) {
		const tile = this.#tiles.get(key);
		if (!tile) return;
		if (document.pictureInPictureElement === tile.video) document.exitPictureInPicture().catch(() => {});
		tile.video.srcObject = null;
		tile.element.remove();
		this.#tiles.delete(key);
		if (this.pinned === key) this.pinned = null;
		this.#arrangeSoon();
	}

	clear() {
		for (const key of this.#tiles.keys()) this.remove(key);
	}

	setSpeaking(key, speaking) {
		const element = this.#tiles.get(key)?.element;
		if (element) element.dataset.speaking = speaking;
	}

	setQuality(key, { path, quality }, title) {
		const tile = this.#tiles.get(key);
		if (!tile) return;
		Object.assign(tile.element.dataset, { path, quality });
		tile.signal.title = title;
	}

	async setSpeaker(deviceId) {
		this.#sink = deviceId;
		for (const { video } of this.#tiles.values()) await this.#applySink(video);
	}

	async play(video) {
		try {
			await video.play();
		} catch (error) {
			if (error.name !== "NotAllowedError" || $("play")) return;
			const again = () => {
				$("play")?.remove();
				for (const tile of this.#tiles.values()) tile.video.play().catch(() => {});
			};
			document.body.append(make("button", { id: "play", className: "primary", onclick: again }, t("play")));
		}
	}

	togglePin(key) {
		this.pinned = this.pinned === key ? null : key;
		for (const tile of this.#tiles.values()) this.#labels(tile);
		this.arrange();
	}

	#arrangeSoon() {
		this.#soon ||= requestAnimationFrame(() => this.arrange());
	}

	arrange() {
		cancelAnimationFrame(this.#soon);
		this.#soon = 0;
		const tiles = [...this.#tiles.values()];
		const { clientWidth: width, clientHeight: height } = this.#grid;
		if (tiles.length === 0 || !width || !height) return;
		const main = this.#main(tiles);
		const others = tiles.filter((tile) => tile !== main);
		// A landscape picture on a phone held upright would be a strip, or cut to one.
		const isStrip = height > width && !main?.upright && main?.element.dataset.video === "on";
		const duo = tiles.length === 2 && this.pinned === null && !main?.shared && !isStrip;
		const layout = duo ? "duo" : main && (this.pinned !== null || main.shared) ? "spotlight" : tiles.length === 1 ? "alone" : "grid";
		this.#grid.dataset.layout = layout;
		for (const tile of tiles) tile.element.dataset.pinned = tile.key === this.pinned;
		if (layout === "duo") {
			place(main, 0, 0, width, height);
			const w = Math.max(96, Math.min(240, width * 0.24));
			const h = others[0].upright ? w * 1.25 : w / ASPECT;
			place(others[0], width - w - 12, height - h - 12, w, h);
		} else if (layout === "spotlight") {
			spotlight(main, others, width, height);
		} else {
			grid(tiles, width, height);
		}
	}

	#main(tiles) {
		for (const tile of tiles) tile.shared = tile.element.dataset.video === "screen" && tile.key !== "self";
		const pinned = this.#tiles.get(this.pinned);
		if (pinned && tiles.length > 1) return pinned;
		const shared = tiles.find((tile) => tile.shared);
		if (shared) return shared;
		return tiles.length === 2 ? tiles.find(({ key }) => key !== "self") : null;
	}

	#create({ key }) {
		const video = make("video", { autoplay: true, playsInline: true, muted: key === "self" });
		const tile = {
			key,
			video,
			upright: false,
			initial: make("span", { className: "initial" }),
			label: make("bdi", { className: "name" }),
			presents: make("p", { className: "presents", hidden: true }),
			note: make("p", { className: "note" }),
			signal: make("span", { className: "signal" }, make("i"), make("i"), make("i")),
			pin: tool("pin", () => this.togglePin(key)),
			pip: tool("pip", () => pictureInPicture(video)),
			full: tool("full", () => fullScreen(tile.element)),
		};
		tile.muted = mutedMark();
		tile.initial.setAttribute("aria-hidden", "true");
		tile.tools = make("div", { className: "tile-tools" }, tile.pin);
		if (document.pictureInPictureEnabled && key !== "self") tile.tools.append(tile.pip);
		if (document.fullscreenEnabled) tile.tools.append(tile.full);
		tile.element = make(
			"article",
			{ className: "tile" },
			video,
			make("div", { className: "avatar" }, tile.initial),
			tile.note,
			tile.presents,
			make("div", { className: "label" }, tile.muted, tile.label, tile.signal),
			tile.tools,
		);
		tile.element.ondblclick = () => this.togglePin(key);
		colour(tile.element, key);
		video.onresize = () => {
			tile.upright = video.videoHeight > video.videoWidth;
			this.#arrangeSoon();
		};
		this.#tiles.set(key, tile);
		this.#grid.append(tile.element);
		this.#applySink(video);
		return tile;
	}

	#labels(tile) {
		const pinned = tile.key === this.pinned;
		setTool(tile.pin, "pin", t(pinned ? "unpin" : "pin"), tile.shown);
		setTool(tile.pip, "pip", t("pip"), tile.shown);
		setTool(tile.full, "full", t("full"), tile.shown);
	}

	async #applySink(video) {
		if (video.muted || !video.setSinkId || video.sinkId === this.#sink) return;
		await video.setSinkId(this.#sink).catch(() => {}); // unplugged: the default goes on
	}
}

function place({ element, video }, left, top, width, height) {
	const [tall, wide] = [video.videoHeight / video.videoWidth, height / width];
	element.dataset.whole = Math.min(tall, wide) / Math.max(tall, wide) < 1 - MOST_CROPPED;
	for (const [key, value] of Object.entries({ left, top, width, height })) element.style[key] = `${Math.floor(value)}px`;
}

function grid(tiles, width, height) {
	const [narrowest, widest] = width < height ? [0.75, 1.4] : [1.25, ASPECT];
	let best = { area: 0 };
	for (let columns = 1; columns <= tiles.length; columns += 1) {
		const rows = Math.ceil(tiles.length / columns);
		const cellHeight = (height - GAP * (rows - 1)) / rows;
		const w = Math.min((width - GAP * (columns - 1)) / columns, cellHeight * widest);
		const h = Math.min(cellHeight, w / narrowest);
		if (w * h > best.area) best = { area: w * h, w, h, columns, rows };
	}
	const { w, h, columns, rows } = best;
	const top = (height - rows * h - (rows - 1) * GAP) / 2;
	tiles.forEach((tile, at) => {
		const row = Math.floor(at / columns);
		const inRow = row === rows - 1 ? tiles.length - row * columns : columns;
		const left = (width - inRow * w - (inRow - 1) * GAP) / 2;
		place(tile, left + (at % columns) * (w + GAP), top + row * (h + GAP), w, h);
	});
}

function spotlight(main, others, width, height) {
	const beside = width > height;
	const long = beside ? height : width;
	const lanes = Math.ceil((others.length * SMALLEST) / long);
	const inLane = Math.ceil(others.length / lanes);
	const depth = beside ? Math.min(240, width * 0.2) : Math.min(160, height * 0.2) / lanes;
	const slot = Math.min((long + GAP) / inLane - GAP, beside ? depth / ASPECT : depth * ASPECT);
	others.forEach((tile, at) => {
		const along = (at % inLane) * (slot + GAP);
		const away = (Math.floor(at / inLane) + 1) * (depth + GAP) - GAP;
		if (beside) place(tile, width - away, along, depth, slot);
		else place(tile, along, height - away, slot, depth);
	});
	const taken = lanes * (depth + GAP);
	if (beside) place(main, 0, 0, width - taken, height);
	else place(main, 0, 0, width, height - taken);
}

function pictureInPicture(video) {
	const leave = document.pictureInPictureElement === video;
	return (leave ? document.exitPictureInPicture() : video.requestPictureInPicture()).catch(Log.problem);
}

export function fullScreen(element) {
	return (document.fullscreenElement ? document.exitFullscreen() : element.requestFullscreen()).catch(Log.problem);
}
