/**
 * SHA-256, and what the call makes of it: tokens, proofs of identity, a number to read aloud.
 *
 * Insecure pages have no `crypto.subtle`.
 */

const PRIMES = [];
for (let n = 2; PRIMES.length < 64; n += 1) if (PRIMES.every((prime) => n % prime)) PRIMES.push(n);
const fraction = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
const ROUNDS = PRIMES.map((prime) => fraction(Math.cbrt(prime)));
const START = PRIMES.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
const rotate = (x, by) => (x >>> by) | (x << (32 - by));

export function sha256(data) {
	const bytes = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
	const view = new DataView(new ArrayBuffer(((bytes.length + 72) >> 6) << 6));
	bytes.forEach((byte, at) => view.setUint8(at, byte));
	view.setUint8(bytes.length, 0x80);
	view.setUint32(view.byteLength - 4, bytes.length * 8);

	let state = START;
	const w = new Int32Array(64);
	for (let block = 0; block < view.byteLength; block += 64) {
		for (let i = 0; i < 16; i += 1) w[i] = view.getInt32(block + i * 4);
		for (let i = 16; i < 64; i += 1) {
			const s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >>> 3);
			const s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >>> 10);
			w[i] = w[i - 16] + s0 + w[i - 7] + s1;
		}
		let words = state;
		for (let i = 0; i < 64; i += 1) {
			const [a, b, c, d, e, f, g, h] = words;
			const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
			const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[i] + w[i]) | 0;
			const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
			const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
			words = [(t1 + t2) | 0, a, b, c, (d + t1) | 0, e, f, g];
		}
		state = state.map((word, i) => (word + words[i]) | 0);
	}
	return state.map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

export function randomToken() {
	return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

/**
 * Proves knowledge of a pair's secret without telling it, for one sender and one receiver: the relay vouches for both
 * ids, so nobody else can use a proof that they overhear.
 */
export function proofOf(secret, from, to) {
	return sha256(JSON.stringify([secret, from, to])).slice(0, 32);
}

/** Of 12 bits each. */
const GROUPS = 10;

/** 120 bits, because one who sits between may try keys until two numbers agree, which takes the square root of that. */
export function safetyNumber(certificates) {
	if (!certificates) return "";
	const { local, remote } = certificates;
	const both = [local.replaceAll(":", "").toLowerCase(), sha256(remote)];
	const hash = sha256(both.sort().join(" "));
	const groups = hash.match(/.../g).slice(0, GROUPS);
	return groups.map((group) => String(parseInt(group, 16)).padStart(4, "0")).join(" ");
}
