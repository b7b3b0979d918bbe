/**
 * QR codes (ISO/IEC 18004) in byte mode, with error correction L, of versions 1 to 6: up to 134 bytes, which most invite
 * links fit in.
 */
/** Of each version: correction bytes of a block, and blocks. */
const VERSIONS = [[7, 1], [10, 1], [15, 1], [20, 1], [26, 1], [18, 2]];
/** Level L and mask 0, a chequerboard. The standard takes the best of eight masks; readers take any. */
const FORMAT = 0x77c4;

/** In the field of 256 elements. */
function times(a, b) {
	if (!b) return 0;
	const twice = (a << 1) ^ (a & 0x80 ? 0x11d : 0);
	return times(twice, b >> 1) ^ (b & 1 && a);
}

export function qrCode(text) {
	const bytes = new TextEncoder().encode(text);
	for (const [at, [correction, blocks]] of VERSIONS.entries()) {
		const { grid, free } = qrFrame(at * 4 + 21);
		const capacity = (free.length >> 3) - blocks * correction;
		if (bytes.length + 2 > capacity) continue;
		const all = withCorrection(qrData(bytes, capacity), blocks, correction);
		free.forEach(([x, y], at) => {
			const bit = (all[at >> 3] >> (7 - (at & 7))) & 1;
			grid[y][x] = bit !== (x + y + 1) % 2;
		});
		return grid;
	}
	return null;
}

function qrData(bytes, capacity) {
	const hex = Array.from([bytes.length, ...bytes], (byte) => byte.toString(16).padStart(2, "0")).join("");
	const data = `4${hex}0`.match(/../g).map((byte) => parseInt(byte, 16));
	for (let pad = 0xec; data.length < capacity; pad ^= 0xec ^ 0x11) data.push(pad);
	return data;
}

/** Splits into blocks, adds the correction bytes of each, and deals them out in turn. */
function withCorrection(data, count, correction) {
	let generator = [1];
	for (let root = 1; generator.length <= correction; root = times(root, 2)) {
		const next = [...generator, 0];
		generator.forEach((factor, at) => (next[at + 1] ^= times(factor, root)));
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

function qrFrame(size) {
	const grid = Array.from({ length: size }, () => new Array(size).fill(null));
	const set = (x, y, dark) => {
		if (grid[y]?.[x] !== undefined) grid[y][x] = dark;
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
	if (size > 21) rings(size - 7, size - 7, 2, [1]);
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
	return { grid, free };
}

export function drawQr(svg, grid) {
	const side = grid.length + 8;
	const path = grid.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x + 4} ${y + 4}h1v1h-1z` : ""))).join("");
	svg.setAttribute("viewBox", `0 0 ${side} ${side}`);
	svg.querySelector("path").setAttribute("d", path);
}
