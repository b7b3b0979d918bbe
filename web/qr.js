/**
 * QR codes (ISO/IEC 18004): text in, a square of dark and light out. Byte mode, error correction M, versions 1 to 20,
 * which holds 666 bytes: more than any invite link.
 */
"use strict";

/** Error correction bytes a block, and the number of blocks, at level M, from version 1. */
const CORRECTION = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];
/**
 * Level M with mask 0, a chequerboard, protected as the standard says. The standard would try eight masks and take the
 * prettiest; every reader reads any of them.
 */
const FORMAT = 0x5412;

/** Powers and logarithms of 2 in the field of 256 elements over x^8+x^4+x^3+x^2+1. */
const POWER = new Uint8Array(512);
const LOGARITHM = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i += 1) {
	POWER[i] = POWER[i + 255] = x;
	LOGARITHM[x] = i;
	x = (x << 1) ^ (x & 0x80 ? 0x11d : 0);
}
const times = (a, b) => (a && b ? POWER[LOGARITHM[a] + LOGARITHM[b]] : 0);

/**
 * @returns {boolean[][]|null} rows of modules, true is dark, without the quiet zone; null if the text is too long
 */
function qrCode(text) {
	const bytes = new TextEncoder().encode(text);
	for (let version = 1; version <= BLOCKS.length; version += 1) {
		const { grid, free } = qrFrame(version);
		const blocks = BLOCKS[version - 1];
		const correction = CORRECTION[version - 1];
		const capacity = (free.length >> 3) - blocks * correction;
		if (bytes.length + (version < 10 ? 2 : 3) > capacity) continue;
		const all = interleave(qrData(version, bytes, capacity), blocks, correction);
		free.forEach(([x, y], at) => {
			const bit = (all[at >> 3] >> (7 - (at & 7))) & 1;
			grid[y][x] = Boolean(bit) !== ((x + y) % 2 === 0);
		});
		return grid;
	}
	return null;
}

/** Mode, length, the bytes, and padding. */
function qrData(version, bytes, capacity) {
	const bits = [];
	const put = (value, count) => {
		for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1);
	};
	put(4, 4);
	put(bytes.length, version < 10 ? 8 : 16);
	for (const byte of bytes) put(byte, 8);
	put(0, 4);
	for (let pad = 0xec; bits.length < capacity * 8; pad ^= 0xec ^ 0x11) put(pad, 8);
	return Array.from({ length: capacity }, (_, at) => parseInt(bits.slice(at * 8, at * 8 + 8).join(""), 2));
}

/** Splits into blocks, adds the correction bytes of each, and deals them out in turn. */
function interleave(data, count, correction) {
	const short = Math.floor(data.length / count);
	const firstLonger = count - (data.length % count);
	const generator = generatorOf(correction);
	const blocks = [];
	for (let at = 0, block = 0; block < count; block += 1) {
		const size = short + (block >= firstLonger ? 1 : 0);
		const own = data.slice(at, at + size);
		blocks.push({ own, extra: remainder(own, generator) });
		at += size;
	}
	const out = [];
	for (let at = 0; at <= short; at += 1) for (const { own } of blocks) if (at < own.length) out.push(own[at]);
	for (let at = 0; at < correction; at += 1) for (const { extra } of blocks) out.push(extra[at]);
	return out;
}

function generatorOf(degree) {
	let result = [1];
	for (let root = 0; root < degree; root += 1) {
		const next = [...result, 0];
		result.forEach((factor, at) => (next[at + 1] ^= times(factor, POWER[root])));
		result = next;
	}
	return result.slice(1);
}

function remainder(data, generator) {
	const rest = generator.map(() => 0);
	for (const byte of data) {
		const factor = byte ^ rest.shift();
		rest.push(0);
		generator.forEach((coefficient, at) => (rest[at] ^= times(coefficient, factor)));
	}
	return rest;
}

/** What is the same for each text, and the places left free for it, in the order in which they are filled. */
function qrFrame(version) {
	const size = version * 4 + 17;
	const grid = Array.from({ length: size }, () => new Array(size).fill(null));
	const set = (x, y, dark) => {
		if (grid[y] && x >= 0 && x < size) grid[y][x] = Boolean(dark);
	};
	const rings = (cx, cy, reach, light) => {
		for (let dy = -reach; dy <= reach; dy += 1) {
			for (let dx = -reach; dx <= reach; dx += 1) set(cx + dx, cy + dy, !light.includes(Math.max(Math.abs(dx), Math.abs(dy))));
		}
	};
	for (let i = 0; i < size; i += 1) {
		set(6, i, i % 2 === 0);
		set(i, 6, i % 2 === 0);
	}
	const count = Math.floor(version / 7) + 2;
	const step = Math.ceil((version * 4 + 4) / (count * 2 - 2)) * 2;
	const marks = version === 1 ? [] : [6, ...Array.from({ length: count - 1 }, (_, at) => size - 7 - step * (count - 2 - at))];
	const corner = (x, y) => (x === 6 && y === 6) || (x === 6 && y === size - 7) || (x === size - 7 && y === 6);
	for (const y of marks) for (const x of marks) if (!corner(x, y)) rings(x, y, 2, [1]);
	for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) rings(x, y, 4, [2, 4]);
	for (let i = 0; i < 15; i += 1) {
		const bit = (FORMAT >> i) & 1;
		set(8, i < 6 ? i : i < 8 ? i + 1 : size - 15 + i, bit);
		set(i < 8 ? size - 1 - i : i === 8 ? 7 : 14 - i, 8, bit);
	}
	set(8, size - 8, true);
	if (version > 6) {
		let check = version;
		for (let i = 0; i < 12; i += 1) check = (check << 1) ^ ((check >> 11) * 0x1f25);
		for (let i = 0; i < 18; i += 1) {
			const bit = (((version << 12) | check) >> i) & 1;
			set(size - 11 + (i % 3), Math.floor(i / 3), bit);
			set(Math.floor(i / 3), size - 11 + (i % 3), bit);
		}
	}
	// Up and down in columns of two, from the right, past the timing column.
	const free = [];
	for (let right = size - 1; right > 0; right -= 2) {
		if (right === 6) right = 5;
		for (let i = 0; i < size; i += 1) {
			const y = (right + 1) & 2 ? i : size - 1 - i;
			for (const x of [right, right - 1]) if (grid[y][x] === null) free.push([x, y]);
		}
	}
	for (const [x, y] of free) grid[y][x] = (x + y) % 2 === 0;
	return { grid, free };
}

/** Draws a code into an SVG element, dark on white whatever the theme, for phones want it so. */
function drawQr(svg, grid) {
	const side = grid.length + 8; // four modules of quiet around it
	const path = grid.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : ""))).join("");
	svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
	svg.setAttribute("shape-rendering", "crispEdges");
	svg.querySelector("path").setAttribute("d", path);
}
