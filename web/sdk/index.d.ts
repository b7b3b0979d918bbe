/** The client of signaling-relay: calls whose members outlive the relay, and what they are made of. */

/** What the relay refused; `code` is the protocol's, such as `room_full`, or ours: `closed`, `taken_over`, `displaced`, `closed_by_relay`, `bad_url`. */
export class SignalingError extends Error {
	constructor(error: { code: string; message: string; retryable?: boolean });
	readonly name: "SignalingError";
	readonly code: string;
	/** Whether the same may succeed later. */
	readonly retryable: boolean;
}

/** What a client says of itself as it joins. */
export interface Who {
	/** For people; at most 64 characters. */
	name?: string;
	/** The peer's id in the room; without it the relay makes one. */
	id?: string;
	/** Where the relay asks for tokens. */
	token?: string;
	/** The room's password: whoever is first sets it. */
	password?: string;
}

export interface Peer {
	id: string;
	name?: string;
	/** It has lost its connection, and may come back. */
	away?: boolean;
	/** The relay's operator vouches for the id. */
	verified?: boolean;
}

export interface Joined {
	id: string;
	name?: string;
	room: string;
	host: string;
	peers: Peer[];
	iceServers: RTCIceServer[];
	/** For how long the credentials of `iceServers` are good, in milliseconds from now. */
	ttlMs?: number;
	/** What the operator asks for: to use none of `iceServers`, or to connect by TURN alone. Call does it. */
	candidatePolicy?: "lan" | "relay";
	locked?: boolean;
	password?: boolean;
	maxMessageBytes?: number;
	/** Whether we were in the room before, since `join`. */
	again: boolean;
	previousId: string | null;
}

/** `report` is for the relay alone, which counts how calls end up. */
export type SignalType = "offer" | "answer" | "offer_ice" | "answer_ice" | "message" | "report";

/** Events of a SignalingChannel: the relay's messages with their fields, and `state`, `resumed` and `refused`. */
export interface SignalingEvents {
	joined: Joined;
	/** Back in the old place: nothing was lost. */
	resumed: Omit<Joined, "again" | "previousId"> & { received: number };
	/** New ones, asked for by itself before the credentials of the last ones ran out. */
	ice_servers: { iceServers: RTCIceServer[]; ttlMs?: number };
	peer_joined: Peer;
	peer_left: { id: string; reason: string };
	peer_away: { id: string };
	peer_back: { id: string };
	host: { id: string };
	room: { locked: boolean };
	/** The room is locked; its host decides. */
	waiting: object;
	knock: Peer;
	knock_gone: { id: string };
	offer: { from: string; sdp: string; session?: string };
	answer: { from: string; sdp: string; session?: string };
	offer_ice: { from: string; iceCandidate: RTCIceCandidateInit | null };
	answer_ice: { from: string; iceCandidate: RTCIceCandidateInit | null };
	message: { from: string; data: any };
	error: { code: string; message: string; retryable: boolean; to?: string; ref?: string };
	goaway: { retryAfterMs: number };
	/** `error` is what the relay refused, which is tried again. */
	state: { state: SignalingState; retryInMs?: number; code?: number; reason?: string; error?: { code: string; message: string } };
	refused: { code: string; message: string; retryable?: boolean };
}

export type SignalingState = "closed" | "connecting" | "joining" | "joined" | "waiting";

/**
 * One WebSocket to the relay that reconnects by itself: for its old place (same id, nothing lost), or if that is gone,
 * anew (`joined`, `again`). Until `leave`, `close` or a refusal.
 */
export class SignalingChannel {
	/**
	 * @param url the relay's `/ws`; by default the one that belongs to this page
	 * @param options the class of the socket, where there is no global one
	 */
	constructor(url?: string | URL, options?: { WebSocket?: any });
	/** The relay of a page: its own host; for a page from disk this machine. */
	static urlFor(pageUrl: string): string;
	readonly state: SignalingState;
	readonly id: string | null;
	/** Bytes that the relay takes in one message. */
	readonly maxMessageBytes: number;
	/** @returns call it to stop listening */
	on<T extends keyof SignalingEvents>(type: T, listener: (event: SignalingEvents[T]) => void): () => void;
	/** Enters a room, dialling first. Rejected with a SignalingError when the relay refuses, or by `leave` and `close`. */
	join(room: string, who?: Who & { resume?: boolean }): Promise<Joined>;
	/**
	 * Sends to one peer, or to everyone else; what a slow peer refuses is sent again, in order. An `error` about it repeats
	 * `fields.ref`.
	 * @returns false if it will never be sent: not in a room, too much waits already, or it is too large
	 */
	send(type: SignalType, fields: object, to?: string): boolean;
	/** Leaves the room and hangs up. */
	leave(): void;
	/** Leaves, and forgets every listener. */
	close(): void;
	/** Dials now rather than when the delay is over. */
	reconnect(): void;
	/** Asks whether the relay is still there. */
	probe(): void;
	kick(to: string, message?: string): boolean;
	lock(locked?: boolean): boolean;
	admit(to: string): boolean;
	deny(to: string): boolean;
	makeHost(to: string): boolean;
}

export interface PeerLinkEvents {
	state: RTCPeerConnectionState;
	/** Tracks came, went or fell silent. */
	stream: MediaStream | null;
	/** A track arrives, under the name that the other side gave it. */
	track: { name: string; track: MediaStreamTrack };
	/** The other side opened a data channel. */
	channel: RTCDataChannel;
	/** Something went wrong, and was survived. */
	problem: Error;
}

/**
 * One peer connection that keeps itself up: perfect negotiation, queued candidates, ICE restart. Sound and picture are
 * negotiated once, both ways; tracks of other names have a line of their own, one way.
 */
export class PeerLink {
	constructor(options: {
		/** One of the two sides is polite, and gives way when offers cross. */
		polite: boolean;
		/** Carries a message to the other side. */
		send: (type: Exclude<SignalType, "message">, fields: any) => void;
		iceServers?: RTCIceServer[];
		/**
		 * False: the first offer has no lines for sound and picture. Where only one side has them, let one side start:
		 * Chromium cannot take back an offer for one with other lines. (Call sees to that itself.)
		 */
		media?: boolean;
		configuration?: RTCConfiguration;
		RTCPeerConnection?: any;
	});
	readonly polite: boolean;
	readonly pc: RTCPeerConnection;
	/** What the other side sends; null where there is no MediaStream. */
	readonly stream: MediaStream | null;
	readonly session: string;
	readonly remoteSession: string | null;
	/** Whether it has ever been connected. */
	readonly wasConnected: boolean;
	readonly state: RTCPeerConnectionState;
	/** As the descriptions name them, which whoever carries them may have changed. */
	readonly fingerprints: { local: string | null; remote: string | null };
	/** Of the encryption itself: ours by its SHA-256 fingerprint, the other side's as DER. Null where a browser does not tell. */
	readonly certificates: { local: string; remote: ArrayBuffer } | null;
	/** @returns call it to stop listening */
	on<T extends keyof PeerLinkEvents>(type: T, listener: (event: PeerLinkEvents[T]) => void): () => void;
	/** Makes the first offer, unless the other side was faster. */
	start(): void;
	/** "audio" and "video" never negotiate; any other name gets a line of its own the first time. */
	setTrack(name: string, track: MediaStreamTrack | null): Promise<void>;
	/** Encoding parameters of the video, such as maxBitrate. */
	tune(tuning: Partial<RTCRtpEncodingParameters>): void;
	/** Takes one message as it came. */
	receive(message: { type: string; [field: string]: any }): Promise<void>;
	/** For the next ICE restart, as is what else of the configuration shall change. */
	setIceServers(iceServers: RTCIceServer[], configuration?: RTCConfiguration): void;
	/** Looks for a new path without touching the media. */
	restart(): void;
	/** After a loss of signaling: repeats what may be lost. */
	resume(): void;
	close(): void;
}

/** Ten groups of four digits (120 bits), the same at both ends if nobody sits between them; empty while not known. */
export function safetyNumber(certificates: PeerLink["certificates"]): string;

/** One of the others in a call. `key` stays the same when the relay's `id` changes. */
export interface Member {
	readonly key: number;
	/** Null while the relay has no such peer. */
	readonly id: string | null;
	readonly name: string;
	/** The relay's operator vouches for the id. */
	readonly verified: boolean;
	/** Whether the relay has them. */
	readonly present: boolean;
	/** The relay has lost their connection for the moment. */
	readonly away: boolean;
	/** What they show of themselves: `setState` at their end. Check it: they may say anything. */
	readonly state: any;
	/** Theirs, by the names that they gave them. */
	readonly tracks: Map<string, MediaStreamTrack>;
	/** Null while too many others are connected, or about to be: 32 at most, a few at a time. */
	readonly link: PeerLink | null;
	readonly isConnected: boolean;
	/** Whether a message would reach them without the relay. */
	readonly isDirect: boolean;
}

export type CallState = "closed" | "connecting" | "knocking" | "joined" | "reconnecting" | "refused";

export interface CallEvents {
	/** Ours changed. */
	state: { state: CallState };
	/** We are in the room. */
	joined: { again: boolean };
	/**
	 * The relay does not let us in or back. `removed`: we are out of the call, which is over. The host removed us
	 * (`kicked`), or somebody came in whose id ours is (`displaced`).
	 */
	refused: { error: SignalingError; removed: boolean };
	/** Somebody came (`fresh`) or changed. */
	member: { member: Member; fresh?: boolean };
	/** Somebody is gone: `left`, `kicked`, `displaced`, `lost`. */
	gone: { member: Member; reason: string };
	track: { member: Member; name: string; track: MediaStreamTrack };
	/** Their sound and picture (`member.link.stream`) changed. */
	stream: { member: Member };
	message: { member: Member; data: any };
	/** The application's own server speaks, through the relay. */
	server: { data: any };
	/** They opened a data channel. */
	channel: { member: Member; channel: RTCDataChannel };
	shared: { key: string; value: any };
	/** `host`, `locked`, `hasPassword` or `knocks` changed. */
	room: object;
	/** Somebody asks the host to be let in. */
	knock: Peer;
	/** Something went wrong, and was survived. */
	problem: { error: Error; member?: Member };
}

/**
 * A call of many over the relay. If the relay goes away, the call goes on: messages, state and goodbyes travel from peer
 * to peer. When it is back, so are we, and everybody keeps their member. If it then refuses us, the call goes on with
 * those who are there: `refused` says why, and `rejoin` tries again.
 */
export class Call {
	constructor(options?: {
		/** The relay's `/ws`; by default the one that belongs to this page. */
		url?: string | URL;
		/** False: a call of data alone. */
		media?: boolean;
		/** For Node, which has none. */
		RTCPeerConnection?: any;
		/** For Node before 22. */
		WebSocket?: any;
	});
	readonly state: CallState;
	readonly id: string | null;
	/** Ours, as the relay tells it to the others. */
	readonly name: string;
	readonly room: string;
	/** The host's id. */
	readonly host: string | null;
	readonly isHost: boolean;
	readonly locked: boolean;
	readonly hasPassword: boolean;
	/** Those who knock, for the host. */
	readonly knocks: Map<string, Peer>;
	/** The others, in the order in which they came. */
	readonly members: Member[];
	/** Whether we have been in the room since `join`. */
	readonly hasEntered: boolean;
	/** Why the relay does not have us back. */
	readonly refusal: SignalingError | null;
	/** Those that its connections use: none where the operator's policy is `lan`. */
	readonly iceServers: RTCIceServer[];
	/** What the operator asks for, as in `Joined`; undefined before that, and "all" where it is nothing. */
	readonly candidatePolicy?: "all" | "lan" | "relay";
	/** The signaling below, for what is not here. */
	readonly channel: SignalingChannel;
	/** @returns call it to stop listening */
	on<T extends keyof CallEvents>(type: T, listener: (event: CallEvents[T]) => void): () => void;
	/**
	 * Enters a room; keeps trying while the relay cannot be reached. Where the host must let us in it takes minutes.
	 * Rejected with a SignalingError when the relay refuses or after `leave`, and with the signal's reason.
	 */
	join(room: string, who?: Who & { signal?: AbortSignal }): Promise<Joined>;
	/** After a refusal: once more, with other words if need be. */
	rejoin(changes?: Who): Promise<Joined>;
	/** Hangs up: the others hear it at once, with or without the relay. */
	leave(): void;
	/** Leaves, and forgets every listener. */
	close(): void;
	/** Sends a track to everybody from now on, or nothing. "audio" and "video" cost no negotiation. */
	setTrack(name: string, track: MediaStreamTrack | null): void;
	/** What we show of ourselves, also to those who come later. At most 4,000 characters as JSON. */
	setState(state: object): void;
	/**
	 * Sends what JSON can say to everybody, or to one member; never twice.
	 * @returns those who will not get it: without the relay, and without a connection
	 */
	send(data: any, member?: Member): Member[];
	/** A value that all in the call have in common. */
	shared(key: string): any;
	/** Sets it for everybody, and for those who come later; undefined takes it away. @returns false if it is too large */
	share(key: string, value: any): boolean;
	/** A raw data channel to one member; they hear of it by `channel`. */
	openChannel(member: Member, label: string, options?: RTCDataChannelInit): RTCDataChannel;
	/** What the host may do; for others it is a `problem`, `not_host`. */
	lock(locked?: boolean): boolean;
	admit(id: string): boolean;
	deny(id: string): boolean;
	kick(member: Member, message?: string): boolean;
	makeHost(member: Member): boolean;
}
