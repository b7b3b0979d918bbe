/** Every word of the page, in English and in Chinese. `t(key, values)` fills in `{value}`. */
"use strict";

const LINE = /^(\w+): (.*) \| (.*)$/gm;
const TEXTS = `
language: 中文 | English
app: Call | 通话
controls: Controls | 控制栏
entry_new: Start a call | 发起通话
entry_join: Join {room} | 加入 {room}
lead_new: Choose a room name, join, and share the link. | 取个房间名，进入后分享链接。
lead_join: Check picture and sound, then join. | 看看画面，试试声音，然后加入。
lead_again: Come back whenever you like. | 随时可以回来。
your_name: Your name | 您的名字
name_hint: How others see you | 别人看到的名字
room: Room | 房间
new_room: Another name | 换一个
join: Join | 加入
joining: Joining… | 正在加入…
watch: Only watch and listen | 只看只听
level: Microphone level | 麦克风音量
privacy: Sound and pictures go encrypted from browser to browser. Your browser remembers only your name, language and devices. | 声音和画面加密后在浏览器之间直接传送。浏览器只记住您的名字、语言和设备。
microphone: Microphone | 麦克风
camera: Camera | 摄像头
camera_microphone: Camera and microphone | 摄像头和麦克风
speaker: Speaker | 扬声器
default_device: System default | 系统默认
preview_off: Camera is off | 摄像头已关闭
preview_asking: Allow camera and microphone when the browser asks | 浏览器询问时，请允许摄像头和麦克风
mute: Mute | 静音
unmute: Unmute | 取消静音
mic_start: Turn microphone on | 打开麦克风
cam_stop: Turn camera off | 关闭摄像头
cam_start: Turn camera on | 打开摄像头
share: Share screen | 共享屏幕
share_stop: Stop sharing | 停止共享
chat: Chat | 聊天
invite: Invite people | 邀请
details: Connection details | 连接详情
devices: Devices | 设备
full: Full screen | 全屏
shortcuts: Keyboard shortcuts | 键盘快捷键
more: More | 更多
hangup: Hang up | 挂断
close: Close | 关闭
send: Send | 发送
copy: Copy | 复制
copied: Copied | 已复制
copy_failed: Copy it by hand | 请手动复制
pin: Enlarge | 放大
unpin: Back to the grid | 返回网格
pip: Picture in picture | 画中画
you: You | 我
name_you: {name} (you) | {name}（我）
someone: Guest | 访客

s_relay: Connecting to the relay… | 正在连接服务器…
s_connecting: Connecting to {names}… | 正在连接 {names}…
s_waiting: Alone here. Waiting for others. | 只有您一人，等待其他人加入。
s_connected: Connected · {n} in the call | 已连接 · {n} 人在通话
s_reconnecting: The relay is away. The call goes on; reconnecting… | 服务器暂时不在，通话继续，正在重连…
s_unreachable: The relay cannot be reached. Trying again… | 连不上服务器，正在重试…
s_refused: Not joined | 未能加入
s_left: You left the call | 您已离开通话
alone_title: You are the only one here | 这里只有您一人
alone_text: Send the link to others; a browser is enough. | 把链接发给别人，对方只需要浏览器。
copy_link: Copy the link | 复制链接
came: {name} joined | {name} 加入了
went: {name} left | {name} 离开了
other_left: {name} left. You are alone now. | {name} 离开了，现在只有您一人。
lost: {name} lost the connection | {name} 掉线了
back: Back with the relay | 已重新连上服务器
t_new: Connecting… | 正在连接…
t_disconnected: Connection lost. Looking for another way… | 连接中断，正在寻找其他路径…
t_failed: No way through between your networks. Trying again… | 双方网络不通，正在重试…
help_turn: What helps: the same network, no VPN, or a TURN server (ask whoever runs the relay). | 可用同一个网络、关闭 VPN，或请管理员配置 TURN 服务器。
help_turn_has: Not even by the TURN server. Try another network, or ask whoever runs the relay. | 经过 TURN 服务器也不通。请换网络，或联系管理员。
muted: Microphone off | 麦克风已关
play: Click to hear the others | 点击收听
invite_text: Whoever has this link can join. | 有这个链接的人都可以加入。
link: Invite link | 邀请链接
qr: QR code of the invite link | 邀请链接的二维码
link_local: This address works on this computer only. For others start the relay with --lan and open what it prints. | 此地址只能在本机使用。要让别人加入，请用 --lan 启动服务器，打开它显示的地址。
chat_hint: Message to everyone | 发消息给所有人
chat_alone: Not sent: nobody else is here | 未发送：这里没有别人
chat_away: Not sent: the relay is away | 未发送：服务器暂时不在
chat_empty: No messages yet. They are kept nowhere. | 还没有消息。消息不会保存。
details_none: Nobody else is here yet. | 还没有其他人。
log: Log for a bug report | 日志（用于反馈问题）
log_hint: No pictures, messages or addresses in it. | 其中没有画面、消息和地址。
copy_log: Copy the log | 复制日志
path: Path | 路径
path_lan: Direct, local network | 局域网直连
path_nat: Direct, through a NAT | 穿过 NAT 直连
path_relay: Relayed by a TURN server | 经 TURN 服务器中转
path_none: None yet | 尚无
quality: Quality | 质量
quality_good: Good | 良好
quality_fair: Fair | 一般
quality_poor: Poor | 较差
rtt: Round trip | 往返时间
loss: Loss | 丢包
receives: Received | 接收
sends: Sent | 发送
safety: Safety number | 安全码
safety_hint: the same on both sides if nobody sits in between | 两端相同，中间就没有人窃听
keys_on: Use these keys | 启用快捷键
retry: Try again | 重试
cancel: Cancel | 取消

p_denied: {kind} not allowed | 没有{kind}权限
p_denied_text: Allow it by the icon left of the address, and in the system's privacy settings. You can also join without. | 请在地址栏左侧的图标和系统隐私设置中允许。也可以直接加入。
p_none: {kind} not found | 没有找到{kind}
p_none_text: Plug one in, or join without. | 请接上设备，也可以直接加入。
p_busy: {kind}: in use elsewhere | {kind}被占用
p_busy_text: Close the program or tab that holds it, or join without. | 请关闭占用它的程序或标签页，也可以直接加入。
p_insecure: This page is not secure, so the browser gives no camera or microphone | 页面不安全，浏览器不提供摄像头和麦克风
p_insecure_text: Open it by https, or by http://localhost on the relay's computer. Start the relay with --lan, or --cert and --key, for https. Meanwhile you can watch and listen. | 请用 https 打开，或在服务器本机用 http://localhost 打开。用 --lan，或 --cert 与 --key 可启用 https。也可以先只看只听。
p_embedded: {kind} not allowed in this frame | 此框架内没有{kind}权限
p_embedded_text: The page around this one must grant it: <iframe allow="camera; microphone">. Or open the call in its own tab. | 外层页面须授权：<iframe allow="camera; microphone">。也可以在单独的标签页打开。
p_unplugged: {kind} was unplugged | {kind}已拔出
p_unplugged_text: Plug it in again, or choose another. | 请重新接上，或选择其他设备。
p_other: {kind} does not start | {kind}无法启动
p_other_text: Try again, or choose another. | 请重试，或选择其他设备。
p_unreachable: The relay cannot be reached | 连不上服务器
p_unreachable_text: Is it running, and are you on its network? Trying again ({url}). | 它在运行吗？您和它在同一个网络吗？正在重试（{url}）。
p_nobody: No relay runs on this computer | 本机没有运行服务器
p_nobody_text: Start one: cargo run. This page then goes on to {url}. | 请运行 cargo run，页面随后转到 {url}。
p_stranger: Another program answers on port {port} | 端口 {port} 上是其他程序
p_stranger_text: Start the relay on another port (cargo run -- --listen localhost:8081) and add ?port=8081 to this address. | 请换端口启动服务器（cargo run -- --listen localhost:8081），并在本页地址后加上 ?port=8081。
p_room_full: The room is full | 房间已满
p_room_full_text: Try again later, or choose another room. | 请稍后再试，或换一个房间。
p_bad_room: This room name does not work | 房间名不可用
p_bad_room_text: Use 1 to 64 letters, digits or signs. | 请用 1 到 64 个字符。
p_refused: The relay refused | 服务器拒绝了
p_refused_text: It says: {message} | 它说：{message}
`;
/** @type {Map<string, [en: string, zh: string]>} */
const texts = new Map(Array.from(TEXTS.matchAll(LINE), ([, key, ...both]) => [key, both]));

const I18n = {
	/** @type {"en"|"zh"} */
	lang: "en",

	t(key, values = {}) {
		const text = texts.get(key)?.[I18n.lang === "zh" ? 1 : 0] ?? key;
		return text.replace(/\{(\w+)\}/g, (hole, name) => (Object.hasOwn(values, name) ? values[name] : hole));
	},

	/** The person's choice, or else the browser's language. */
	use(stored) {
		I18n.lang = (stored || navigator.language).toLowerCase().startsWith("zh") ? "zh" : "en";
		document.documentElement.lang = I18n.lang === "zh" ? "zh-CN" : "en";
		for (const element of $$("[data-t]")) element.textContent = t(element.dataset.t);
		for (const element of $$("[data-t-label]")) element.ariaLabel = t(element.dataset.tLabel);
		for (const element of $$("[data-t-hint]")) element.placeholder = t(element.dataset.tHint);
	},
};

const { t } = I18n;
