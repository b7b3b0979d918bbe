/**
 * QR codes (ISO/IEC 18004) in byte mode, with error correction L, of versions 1 to 6: up to 134 bytes, which most invite
 * links fit in.
 */
const CORRECTION = [7, 10, 15, 20, 26, 18];
const BLOCKS = [1, 1, 1, 1, 1, 2];
/** Level L and mask 0, a chequerboard. The standard takes the best of eight masks; readers take any. */
const FORMAT = 0x77c4;

const POWER = new Uint8Array(512);
const LOGARITHM = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i += 1) {
	POWER[i] = POWER[i + 255] = x;
	LOGARITHM[x] = i;
	x = (x << 1) ^ (x & 0x80 ? 0x11d : 0);
}
const times = (a, b) => (a && b ? POWER[LOGARITHM[a] + LOGARITHM[b]] : 0);

export function qrCode(text) {
	const bytes = new TextEncoder().encode(text);
	for (let version = 1; version <= BLOCKS.length; version += 1) {
		const { grid, free } = qrFrame(version);
		const capacity = (free.length >> 3) - BLOCKS[version - 1] * CORRECTION[version - 1];
		if (bytes.length + 2 > capacity) continue;
		const all = withCorrection(qrData(bytes, capacity), BLOCKS[version - 1], CORRECTION[version - 1]);
		free.forEach(([x, y], at) => {
			const bit = (all[at >> 3] >> (7 - (at & 7))) & 1;
			grid[y][x] = Boolean(bit) !== ((x + y) % 2 === 0);
		});
		return grid;
	}
	return null;
}

function qrData(bytes, capacity) {
	const nibbles = [4, bytes.length >> 4, bytes.length & 15, ...[...bytes].flatMap((byte) => [byte >> 4, byte & 15]), 0];
	const data = Array.from({ length: nibbles.length / 2 }, (_, at) => nibbles[at * 2] * 16 + nibbles[at * 2 + 1]);
	for (let pad = 0xec; data.length < capacity; pad ^= 0xec ^ 0x11) data.push(pad);
	return data;
}

/** Splits into blocks, adds the correction bytes of each, and deals them out in turn. */
function withCorrection(data, count, correction) {
	let generator = [1];
	for (let root = 0; root < correction; root += 1) {
		const next = [...generator, 0];
		generator.forEach((factor, at) => (next[at + 1] ^= times(factor, POWER[root])));
		generator = next;
	}
	const size = data.length / count;
	const blocks = Array.from({ length: count }, (_, block) => {
		const own = data.slice(block * size, (block + 1) * size);
		const rest = [...own, ...new Array(correction).fill(0)];
		for (let at = 0; at < size; at += 1) {
			const factor = rest[at];
			generator.forEach((coefficient, i) => (rest[at + i] ^= times(coefficient, factor)));
		}
		return [...own, ...rest.slice(size)];
	});
	return blocks[0].flatMap((_, at) => blocks.map((block) => block[at]));
}

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
	if (version > 1) rings(size - 7, size - 7, 2, [1]);
	for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) rings(x, y, 4, [2, 4]);
	for (let i = 0; i < 15; i += 1) {
		const bit = (FORMAT >> i) & 1;
		set(8, i < 6 ? i : i < 8 ? i + 1 : size - 15 + i, bit);
		set(i < 8 ? size - 1 - i : i === 8 ? 7 : 14 - i, 8, bit);
	}
	set(8, size - 8, true);
	// Up and down in columns of two from the right, without the timing column.
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

export function drawQr(svg, grid) {
	const side = grid.length + 8;
	const path = grid.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : ""))).join("");
	svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
	svg.querySelector("path").setAttribute("d", path);
}
