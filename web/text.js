/**
 * Every word that the page shows, in English and in Chinese. `t(key, values)` fills `{value}` in; values are text only.
 */
"use strict";

const en = {
	language: "中文", app: "Call", call: "Call", controls: "Controls",
	entry_new: "Start a call", entry_join: "Join {room}", entry_again: "You left the call",
	lead_new: "Choose a room name, and share the link once you are in.",
	lead_join: "Check how you look and sound, then join.", lead_again: "Come back any time while this page is open.",
	your_name: "Your name", name_hint: "How others see you", room: "Room", new_room: "Another name",
	join: "Join", watch: "Only watch and listen", joining: "Joining…", level: "Microphone level",
	privacy: "Sound and pictures go straight from browser to browser, encrypted. This browser remembers your name, language and devices, and nothing else.",
	microphone: "Microphone", camera: "Camera", speaker: "Speaker", camera_microphone: "Camera and microphone", default_device: "System default", device_n: "{kind} {n}",
	preview_off: "Camera is off", preview_asking: "Allow the camera and microphone when the browser asks",
	mute: "Mute", unmute: "Unmute", mic_start: "Turn microphone on", cam_stop: "Turn camera off", cam_start: "Turn camera on",
	share: "Share screen", share_stop: "Stop sharing", chat: "Chat", invite: "Invite people", details: "Connection details",
	devices: "Devices", full: "Full screen", full_leave: "Leave full screen", shortcuts: "Keyboard shortcuts", more: "More",
	hangup: "Hang up", close: "Close", send: "Send", copy: "Copy", copied: "Copied", copy_failed: "Copy it by hand, please",
	pin: "Enlarge", unpin: "Back to the grid", pip: "Picture in picture", tile_full: "Full screen",
	you: "You", someone: "Guest", host: "Host", name_you: "{name} (you)",
	s_entry: "", s_connecting_relay: "Connecting to the relay…", s_connecting: "Connecting to {names}…", s_waiting: "Alone here. Waiting for others.",
	s_connected: "Connected · {n} in the call", s_reconnecting: "The relay is away. The call goes on; reconnecting…",
	s_reconnecting_alone: "The relay is away. Reconnecting…", s_unreachable: "The relay cannot be reached. Trying again…",
	s_refused: "Not joined", s_left: "You left the call",
	alone_title: "You are the only one here", alone_text: "Send the link to whoever should join. They need nothing but a browser.", copy_link: "Copy the link",
	came: "{name} joined", went: "{name} left", lost: "{name} lost the connection", back: "Back with the relay", other_left: "{name} left. You are alone now.",
	t_new: "Connecting…", t_connecting: "Connecting…", t_disconnected: "Connection lost, looking for another way…",
	t_failed: "No way through between your networks. Trying again…",
	help_turn: "A firewall keeps the two browsers apart. What would help: be on the same network, leave the VPN, or ask whoever runs the relay for a TURN server.",
	help_turn_has: "Not even through the TURN server. Ask whoever runs the relay to check it, or try another network.",
	muted: "Microphone off", sharing: "{name} shares the screen", play: "Click to hear the others",
	invite_text: "Whoever has this link can join.", link: "Invite link", qr: "QR code of the invite link",
	link_local: "This address works on this computer only. For others, start the relay with --lan and open the address it prints.",
	chat_hint: "Message to everyone", chat_alone: "Not sent: nobody else is here", chat_away: "Not sent: the relay is away", chat_empty: "No messages yet. They are not kept anywhere.",
	details_none: "Nobody else is here yet.", log: "Log for a bug report", log_hint: "No pictures, messages or addresses in it.", copy_log: "Copy the log",
	path: "Path", path_lan: "Direct, local network", path_nat: "Direct, through a NAT", path_relay: "Relayed by a TURN server", path_none: "None yet",
	rtt: "Round trip", loss: "Loss", receives: "Received", sends: "Sent", safety: "Safety number",
	safety_hint: "Same digits on both sides: nobody sits in between.", quality_good: "Good", quality_fair: "Fair", quality_poor: "Poor", quality: "Quality",
	keys_on: "Use these keys", key_mic: "Microphone", key_cam: "Camera", key_share: "Share screen", key_chat: "Chat", key_invite: "Invite", key_details: "Connection details",
	key_full: "Full screen", key_help: "This list", key_hangup: "Hang up", key_esc: "Close what is open",
	retry: "Try again", cancel: "Cancel",
	p_denied: "{kind} not allowed", p_denied_text: "Click the icon at the left of the address bar, allow it, then try again. If that does not help, look in the system's privacy settings. You can also join without.",
	p_none: "{kind} not found", p_none_text: "Plug one in and try again, or join without.",
	p_busy: "{kind}: in use elsewhere", p_busy_text: "Another program or tab holds it. Close that, then try again, or join without.",
	p_insecure: "This page is not secure, so the browser offers no camera or microphone",
	p_insecure_text: "Open the page by https, or on the relay's own computer by http://localhost. Whoever runs the relay gets https with --lan, or with --cert and --key. You can join to watch and listen meanwhile.",
	p_embedded: "{kind} not allowed in this frame", p_embedded_text: "The page around this one must grant it: <iframe allow=\"camera; microphone; display-capture; fullscreen\">. Or open the call in its own tab.",
	p_unplugged: "{kind} was unplugged", p_unplugged_text: "Plug it in again, or choose another one.",
	p_other: "{kind} does not start", p_other_text: "The browser did not say why. Try again, or choose another one.",
	p_unreachable: "The relay cannot be reached", p_unreachable_text: "Is it running, and are you on its network? Trying again by itself ({url}).",
	p_room_full: "The room is full", p_room_full_text: "Try again once somebody has left, or choose another room.",
	p_bad_room: "This room name does not work", p_bad_room_text: "Use 1 to 64 letters, digits or signs.",
	p_refused: "The relay refused", p_refused_text: "It says: {message}",
	adjectives: "amber bold brave bright calm clear clever coral early easy fair gentle glad golden green happy kind lively lucky mellow mild noble quick quiet royal silver smooth sunny swift tidy warm wise",
	nouns: "badger beacon birch brook canyon cedar cloud comet coral dolphin falcon forest garden harbor heron island lantern maple meadow mountain otter panda pepper piano planet river robin saddle temple tiger valley willow",
};

const zh = {
	language: "English", app: "通话", call: "通话", controls: "控制栏",
	entry_new: "发起通话", entry_join: "加入 {room}", entry_again: "您已离开通话",
	lead_new: "取一个房间名，进入后把链接发给对方。",
	lead_join: "看看画面，试试声音，然后加入。", lead_again: "页面没关，随时可以回来。",
	your_name: "您的名字", name_hint: "别人看到的名字", room: "房间", new_room: "换一个",
	join: "加入", watch: "只看只听", joining: "正在加入…", level: "麦克风音量",
	privacy: "声音和画面加密后在浏览器之间直接传送。本浏览器只记住您的名字、语言和设备。",
	microphone: "麦克风", camera: "摄像头", speaker: "扬声器", camera_microphone: "摄像头和麦克风", default_device: "系统默认", device_n: "{kind} {n}",
	preview_off: "摄像头已关闭", preview_asking: "浏览器询问时，请允许使用摄像头和麦克风",
	mute: "静音", unmute: "取消静音", mic_start: "打开麦克风", cam_stop: "关闭摄像头", cam_start: "打开摄像头",
	share: "共享屏幕", share_stop: "停止共享", chat: "聊天", invite: "邀请", details: "连接详情",
	devices: "设备", full: "全屏", full_leave: "退出全屏", shortcuts: "键盘快捷键", more: "更多",
	hangup: "挂断", close: "关闭", send: "发送", copy: "复制", copied: "已复制", copy_failed: "请手动复制",
	pin: "放大", unpin: "返回网格", pip: "画中画", tile_full: "全屏",
	you: "我", someone: "访客", host: "主持人", name_you: "{name}（我）",
	s_entry: "", s_connecting_relay: "正在连接服务器…", s_connecting: "正在连接 {names}…", s_waiting: "只有您一人，等待其他人加入。",
	s_connected: "已连接 · {n} 人在通话", s_reconnecting: "服务器暂时不在，通话不受影响，正在重连…",
	s_reconnecting_alone: "服务器暂时不在，正在重连…", s_unreachable: "连不上服务器，正在重试…",
	s_refused: "未能加入", s_left: "您已离开通话",
	alone_title: "这里只有您一人", alone_text: "把链接发给要加入的人，对方只需要浏览器。", copy_link: "复制链接",
	came: "{name} 加入了", went: "{name} 离开了", lost: "{name} 掉线了", back: "已重新连上服务器", other_left: "{name} 离开了，现在只有您一人。",
	t_new: "正在连接…", t_connecting: "正在连接…", t_disconnected: "连接中断，正在寻找其他路径…",
	t_failed: "双方网络之间走不通，正在重试…",
	help_turn: "防火墙隔开了两个浏览器。可以这样：连到同一个网络、关闭 VPN，或请管理员配置 TURN 服务器。",
	help_turn_has: "经过 TURN 服务器也不通。请管理员检查它，或换一个网络。",
	muted: "麦克风已关", sharing: "{name} 正在共享屏幕", play: "点击收听",
	invite_text: "有这个链接的人都可以加入。", link: "邀请链接", qr: "邀请链接的二维码",
	link_local: "这个地址只能在本机使用。要让别人加入，请用 --lan 启动服务器，并打开它显示的地址。",
	chat_hint: "发消息给所有人", chat_alone: "未发送：这里没有别人", chat_away: "未发送：服务器暂时不在", chat_empty: "还没有消息。消息不会保存。",
	details_none: "还没有其他人。", log: "日志（用于反馈问题）", log_hint: "其中没有画面、消息和地址。", copy_log: "复制日志",
	path: "路径", path_lan: "局域网直连", path_nat: "穿过 NAT 直连", path_relay: "经 TURN 服务器中转", path_none: "尚无",
	rtt: "往返时间", loss: "丢包", receives: "接收", sends: "发送", safety: "安全码",
	safety_hint: "两端数字相同，说明中间没有人窃听。", quality_good: "良好", quality_fair: "一般", quality_poor: "较差", quality: "质量",
	keys_on: "启用快捷键", key_mic: "麦克风", key_cam: "摄像头", key_share: "共享屏幕", key_chat: "聊天", key_invite: "邀请", key_details: "连接详情",
	key_full: "全屏", key_help: "本列表", key_hangup: "挂断", key_esc: "关闭打开的面板",
	retry: "重试", cancel: "取消",
	p_denied: "没有{kind}权限", p_denied_text: "点击地址栏左侧的图标，选择允许，然后重试。仍不行的话，请检查系统的隐私设置。也可以不用它直接加入。",
	p_none: "没有找到{kind}", p_none_text: "请接上设备后重试，也可以不用它直接加入。",
	p_busy: "{kind}被占用", p_busy_text: "别的程序或标签页正在使用它。关闭后重试，也可以不用它直接加入。",
	p_insecure: "页面不安全，浏览器不提供摄像头和麦克风",
	p_insecure_text: "请用 https 打开本页，或在服务器本机用 http://localhost 打开。管理员可用 --lan，或 --cert 与 --key 启用 https。现在也可以先加入，只看只听。",
	p_embedded: "此框架内没有{kind}权限", p_embedded_text: "外层页面须授权：<iframe allow=\"camera; microphone; display-capture; fullscreen\">。也可以在单独的标签页打开。",
	p_unplugged: "{kind}已拔出", p_unplugged_text: "请重新接上，或选择其他设备。",
	p_other: "{kind}无法启动", p_other_text: "浏览器没有说明原因。请重试，或选择其他设备。",
	p_unreachable: "连不上服务器", p_unreachable_text: "它在运行吗？您和它在同一个网络吗？正在自动重试（{url}）。",
	p_room_full: "房间已满", p_room_full_text: "有人离开后再试，或换一个房间。",
	p_bad_room: "房间名不可用", p_bad_room_text: "请用 1 到 64 个字符。",
	p_refused: "服务器拒绝了", p_refused_text: "它说：{message}",
	adjectives: "安静 明亮 温暖 清新 勇敢 快乐 金色 银色 翠绿 蔚蓝 古老 年轻 轻盈 聪明 幸运 悠闲 灵巧 自在 晴朗 芬芳",
	nouns: "白鹭 青山 小河 竹林 海岛 灯塔 云朵 雪松 熊猫 海豚 枫叶 草原 茶园 石桥 月亮 星辰 荷花 麻雀 溪谷 风筝",
};

const languages = { en, zh };

const I18n = {
	/** @type {"en"|"zh"} */
	lang: "en",

	/** @param {string} key @param {Record<string, string|number>} [values] @returns {string} */
	t(key, values = {}) {
		const text = languages[I18n.lang][key] ?? en[key] ?? key;
		return text.replace(/\{(\w+)\}/g, (hole, name) => (Object.hasOwn(values, name) ? String(values[name]) : hole));
	},

	/** The person's choice, or else the browser's language. @param {string} [stored] */
	use(stored) {
		const wished = stored || (navigator.languages ?? [navigator.language])[0] || "en";
		I18n.lang = wished.toLowerCase().startsWith("zh") ? "zh" : "en";
		I18n.fill();
	},

	/** Fills in every element that is marked with the text it wants. */
	fill() {
		document.documentElement.lang = I18n.lang === "zh" ? "zh-CN" : "en";
		for (const element of document.querySelectorAll("[data-t]")) element.textContent = I18n.t(element.dataset.t);
		for (const element of document.querySelectorAll("[data-t-label]")) {
			element.setAttribute("aria-label", I18n.t(element.dataset.tLabel));
		}
		for (const element of document.querySelectorAll("[data-t-placeholder]")) {
			element.placeholder = I18n.t(element.dataset.tPlaceholder);
		}
	},
};
