/**
 * QR codes (ISO/IEC 18004): text in, a square of dark and light out. Byte mode, error correction M, versions 1 to 20,
 * which holds 666 bytes: more than any invite link.
 */
"use strict";

/** Error correction bytes a block, and the number of blocks, at level M, from version 1. */
const CORRECTION = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16];
const MASKS = [
	(x, y) => (x + y) % 2,
	(x, y) => y % 2,
	(x) => x % 3,
	(x, y) => (x + y) % 3,
	(x, y) => ((x / 3 | 0) + (y / 2 | 0)) % 2,
	(x, y) => ((x * y) % 2) + ((x * y) % 3),
	(x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2,
	(x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

/** Powers and logarithms of 2 in the field of 256 elements over x^8+x^4+x^3+x^2+1. */
const POWER = new Uint8Array(512);
const LOG = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i += 1) {
	POWER[i] = POWER[i + 255] = x;
	LOG[x] = i;
	x = (x << 1) ^ (x & 0x80 ? 0x11d : 0);
}
const times = (a, b) => (a && b ? POWER[LOG[a] + LOG[b]] : 0);

/**
 * @param {string} text
 * @returns {boolean[][]|null} rows of modules, true is dark, without the quiet zone; null if the text is too long
 */
function qrCode(text) {
	const bytes = new TextEncoder().encode(text);
	const version = CORRECTION.findIndex((_, at) => bytes.length + (at < 9 ? 2 : 3) <= dataBytes(at + 1)) + 1;
	if (version === 0) return null;
	const { grid, fixed } = frame(version);
	fill(grid, fixed, interleave(version, pack(version, bytes)));
	return MASKS.map((_, mask) => masked(grid, fixed, mask)).reduce((best, next) => (penalty(next) < penalty(best) ? next : best));
}

function rawBytes(version) {
	let modules = (16 * version + 128) * version + 64;
	if (version > 1) {
		const marks = Math.floor(version / 7) + 2;
		modules -= (25 * marks - 10) * marks - 55;
	}
	return (modules - (version > 6 ? 36 : 0)) >> 3;
}

function dataBytes(version) {
	return rawBytes(version) - CORRECTION[version - 1] * BLOCKS[version - 1];
}

/** Mode, length, the bytes, and padding. */
function pack(version, bytes) {
	const bits = [];
	const put = (value, count) => {
		for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1);
	};
	put(4, 4);
	put(bytes.length, version < 10 ? 8 : 16);
	for (const byte of bytes) put(byte, 8);
	const capacity = dataBytes(version) * 8;
	put(0, Math.min(4, capacity - bits.length));
	put(0, (8 - (bits.length % 8)) % 8);
	for (let pad = 0xec; bits.length < capacity; pad ^= 0xec ^ 0x11) put(pad, 8);
	return Uint8Array.from({ length: capacity / 8 }, (_, at) => parseInt(bits.slice(at * 8, at * 8 + 8).join(""), 2));
}

/** Splits into blocks, adds the correction bytes of each, and deals them out in turn. */
function interleave(version, data) {
	const count = BLOCKS[version - 1];
	const correction = CORRECTION[version - 1];
	const short = Math.floor(data.length / count);
	const longer = data.length % count;
	const generator = generatorOf(correction);
	const blocks = [];
	for (let at = 0, block = 0; block < count; block += 1) {
		const size = short + (block >= count - longer ? 1 : 0);
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
	const rest = new Array(generator.length).fill(0);
	for (const byte of data) {
		const factor = byte ^ rest.shift();
		rest.push(0);
		generator.forEach((coefficient, at) => (rest[at] ^= times(coefficient, factor)));
	}
	return rest;
}

/** Everything that is the same for each text: finders, timing, alignment, version; format is kept free. */
function frame(version) {
	const size = version * 4 + 17;
	const square = () => Array.from({ length: size }, () => new Array(size).fill(false));
	const grid = square();
	const fixed = square();
	const set = (x, y, dark) => {
		if (x < 0 || y < 0 || x >= size || y >= size) return;
		grid[y][x] = Boolean(dark);
		fixed[y][x] = true;
	};
	for (let i = 0; i < size; i += 1) {
		set(6, i, i % 2 === 0);
		set(i, 6, i % 2 === 0);
	}
	const rings = (cx, cy, reach, dark) => {
		for (let dy = -reach; dy <= reach; dy += 1) {
			for (let dx = -reach; dx <= reach; dx += 1) set(cx + dx, cy + dy, dark(Math.max(Math.abs(dx), Math.abs(dy))));
		}
	};
	const finder = (distance) => distance !== 2 && distance !== 4;
	rings(3, 3, 4, finder);
	rings(size - 4, 3, 4, finder);
	rings(3, size - 4, 4, finder);
	const marks = alignment(version, size);
	for (const y of marks) {
		for (const x of marks) {
			const corner = (x === 6 && y === 6) || (x === 6 && y === size - 7) || (x === size - 7 && y === 6);
			if (!corner) rings(x, y, 2, (distance) => distance !== 1);
		}
	}
	formatCells(size, () => false, set);
	if (version > 6) {
		let check = version;
		for (let i = 0; i < 12; i += 1) check = (check << 1) ^ ((check >> 11) * 0x1f25);
		const bits = (version << 12) | check;
		for (let i = 0; i < 18; i += 1) {
			const [a, b] = [size - 11 + (i % 3), Math.floor(i / 3)];
			set(a, b, (bits >> i) & 1);
			set(b, a, (bits >> i) & 1);
		}
	}
	return { grid, fixed };
}

function alignment(version, size) {
	if (version === 1) return [];
	const count = Math.floor(version / 7) + 2;
	const step = Math.ceil((version * 4 + 4) / (count * 2 - 2)) * 2;
	return [6, ...Array.from({ length: count - 1 }, (_, at) => size - 7 - step * (count - 2 - at))];
}

function formatCells(size, bit, set) {
	for (let i = 0; i < 15; i += 1) {
		const along = i < 6 ? i : i < 8 ? i + 1 : size - 15 + i;
		set(8, along, bit(i));
		const across = i < 8 ? size - 1 - i : i === 8 ? 7 : 14 - i;
		set(across, 8, bit(i));
	}
	set(8, size - 8, true);
}

/** Up and down in columns of two, from the right, past what is fixed. */
function fill(grid, fixed, bytes) {
	const size = grid.length;
	let at = 0;
	for (let right = size - 1; right > 0; right -= 2) {
		if (right === 6) right = 5; // the timing column is nobody's
		const upward = ((right + 1) & 2) === 0;
		for (let i = 0; i < size; i += 1) {
			const y = upward ? size - 1 - i : i;
			for (const x of [right, right - 1]) {
				if (fixed[y][x]) continue;
				grid[y][x] = Boolean((bytes[at >> 3] >> (7 - (at & 7))) & 1);
				at += 1;
			}
		}
	}
}

function masked(grid, fixed, mask) {
	const result = grid.map((row, y) => row.map((dark, x) => dark !== (!fixed[y][x] && MASKS[mask](x, y) === 0)));
	let check = mask; // level M is 00 in front of it
	for (let i = 0; i < 10; i += 1) check = (check << 1) ^ ((check >> 9) * 0x537);
	const bits = ((mask << 10) | check) ^ 0x5412;
	formatCells(grid.length, (i) => (bits >> i) & 1, (x, y, dark) => (result[y][x] = Boolean(dark)));
	return result;
}

/** What makes a code hard to read: long runs, blocks of one colour, and more of one colour than of the other. */
function penalty(grid) {
	const size = grid.length;
	let points = 0;
	let dark = 0;
	for (let a = 0; a < size; a += 1) {
		for (const cell of [(b) => grid[a][b], (b) => grid[b][a]]) {
			for (let b = 1, run = 1; b <= size; b += 1) {
				if (b < size && cell(b) === cell(b - 1)) run += 1;
				else {
					if (run >= 5) points += run - 2;
					run = 1;
				}
			}
		}
		for (let b = 0; b < size; b += 1) {
			dark += grid[a][b] ? 1 : 0;
			if (a && b && new Set([grid[a][b], grid[a - 1][b], grid[a][b - 1], grid[a - 1][b - 1]]).size === 1) points += 3;
		}
	}
	return points + 10 * Math.floor(Math.abs((dark * 20) / (size * size) - 10));
}

/**
 * Draws a code into an SVG element, dark on white whatever the theme, for phones want it so.
 * @param {SVGElement} svg
 * @param {boolean[][]} grid
 */
function drawQr(svg, grid) {
	const side = grid.length + 8; // four modules of quiet around it
	const element = (name, attributes) => {
		const node = document.createElementNS("http://www.w3.org/2000/svg", name);
		for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
		return node;
	};
	const path = grid.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : ""))).join("");
	svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
	svg.setAttribute("shape-rendering", "crispEdges");
	svg.replaceChildren(element("rect", { width: side, height: side, fill: "#fff" }), element("path", { d: path, fill: "#000" }));
}
