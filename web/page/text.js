/** Every word of the page, in English and in Chinese. `t(key, values)` fills in `{value}`. */

const LINE = /^(\w+): (.*) \| (.*)$/gm;
const TEXTS = `
language: 中文 | English
app: Call | 通话
controls: Controls | 控制栏
entry_new: Start a call | 发起通话
entry_join: Join {room} | 加入 {room}
lead_new: Choose a room name, join, and share the link. | 取个房间名，进入后分享链接。
lead_join: Check picture and sound, then join. | 看看画面，试试声音，然后加入。
lead_after: You can join again. | 您可以重新加入。
your_name: Your name | 您的名字
name_hint: How others see you | 别人看到的名字
name_seen: Others will see: {name} | 别人将看到：{name}
too_long: At most 64 characters; this has {n}. | 最多 64 个字符，现在有 {n} 个。
name_unseen: Nothing of this name can be seen. | 这个名字中没有可见的字符。
room: Room | 房间
new_room: Another name | 换一个
password: Password | 密码
password_more: Room password (the first one in sets it) | 房间密码（由第一个进入的人设定）
join: Join | 加入
joining: Joining… | 正在加入…
watch: Only watch | 仅观看
level: Microphone level | 麦克风音量
privacy: Sound, pictures and chat are encrypted between browsers; the server only learns who is in which room. This browser keeps your name, language and devices. | 声音、画面和聊天在浏览器之间加密，服务器只知道谁在哪个房间。浏览器只记住名字、语言和设备。
microphone: Microphone | 麦克风
camera: Camera | 摄像头
camera_microphone: Camera and microphone | 摄像头和麦克风
speaker: Speaker | 扬声器
default_device: System default | 系统默认
devices_choose: Choose devices | 选择设备
preview_off: Camera is off | 摄像头已关闭
preview_wanted: Camera turns on when you join | 加入时会打开摄像头
preview_asking: Allow camera and microphone when the browser asks | 浏览器询问时，请允许摄像头和麦克风
mute: Mute | 静音
unmute: Unmute | 取消静音
mic_start: Turn microphone on | 打开麦克风
mic_stop: Turn microphone off | 关闭麦克风
cam_stop: Turn camera off | 关闭摄像头
cam_start: Turn camera on | 打开摄像头
cam_flip: Switch camera | 切换摄像头
share: Share screen | 共享屏幕
share_stop: Stop sharing | 停止共享
sharing: You are sharing your screen | 您正在共享屏幕
presents: {name} is presenting | {name} 正在共享屏幕
chat: Chat | 聊天
people: People | 成员
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
server_says: The server: {text} | 服务器：{text}
copy_failed: Copy it by hand | 请手动复制
send_link: Send the link | 发送链接
pin: Enlarge | 放大
unpin: Back to the grid | 返回网格
pip: Picture in picture | 画中画
you: You | 我
name_you: {name} (you) | {name}（我）
someone: Guest | 访客

s_relay: Connecting to the server… | 正在连接服务器…
s_connecting: Connecting to {names}… | 正在连接 {names}…
s_waiting: Alone here. Waiting for others. | 只有您一人，等待其他人加入。
s_connected: Connected · {n} in the call | 已连接 · {n} 人在通话
s_short: {n} in the call | {n} 人
s_reconnecting: Disconnected from the server. The call goes on; reconnecting… | 与服务器的连接已断开，通话继续，正在重连…
s_full: The room is full. The call goes on; trying again… | 房间已满，通话继续，正在重试…
s_knocking: Asking to be let back in. The call goes on. | 正在请求重新进入，通话继续。
s_apart: Not in the room any more. The call goes on with those who are connected. | 已不在房间内，与已连接的人继续通话。
s_unreachable: The server cannot be reached. Trying again… | 无法连接服务器，正在重试…
s_refused: Not joined | 未能加入
s_left: You left the call | 您已离开通话
s_out: You are not in the call any more | 您已不在通话中
alone_text: Send the link to others; a browser is enough. | 把链接发给别人，对方只需要浏览器。
copy_link: Copy the link | 复制链接
came: {name} joined | {name} 加入了
went: {name} left | {name} 离开了
lost: {name} lost the connection | {name} 掉线了
removed: {name} was removed | {name} 被移出
back: Back with the server | 已重新连上服务器
t_new: Connecting… | 正在连接…
t_disconnected: Connection lost. Looking for another way… | 连接中断，正在寻找其他路径…
t_silent: Does not respond. Trying again… | 没有响应，正在重试…
t_failed: No direct way between your networks. Trying again… | 无法直连，正在重试…
help_turn: Try the same network, no VPN, or ask for a TURN server. | 可用同一个网络、关闭 VPN，或请管理员配置 TURN 服务器。
help_turn_has: Check the servers in the details. Try another network. | 请在连接详情中检查服务器，或换网络。
muted: Microphone off | 麦克风已关
play: Click to hear the others | 点击收听
invite_text: Whoever has this link can join. | 有这个链接的人都可以加入。
link: Invite link | 邀请链接
link_choose: Address | 地址
qr: QR code of the invite link | 邀请链接的二维码
link_local: This address works on this computer only. For others start the server with --lan. | 此地址只能在本机使用。要让别人加入，请用 --lan 启动服务器。
link_lan: For others on your network. Each device must trust this server once: {trust} | 供同一网络的其他人使用。每台设备须先信任此服务器：{trust}
link_token: This server lets in only people with a token, and this link has none. Its operator makes others: signaling-relay invite | 此服务器只允许持令牌者进入，而此链接不含令牌。管理员可生成：signaling-relay invite
chat_hint: Message to everyone | 发消息给所有人
chat_alone: Not sent: nobody else is here | 未发送：这里没有别人
chat_missed: Not sent to {names}: disconnected at the moment | 未发送给 {names}：暂时断开
chat_empty: No messages yet. They are kept nowhere. | 还没有消息。消息不会保存。
check: Check the STUN and TURN servers | 检查 STUN 和 TURN 服务器
check_trying: Trying… | 正在尝试…
check_works: Works | 可用
check_silent: Does not answer | 没有应答
check_refused: Refuses the credentials | 拒绝凭据
check_fails: Does not work | 不可用
check_same: Cannot be told without a NAT on the way | 途中没有 NAT，无法判断
check_none: No working STUN or TURN server: people on other networks will hardly get through. | 没有可用的 STUN 或 TURN 服务器：其他网络的人很难接通。
check_stun: No working TURN server: people behind strict networks will not get through. | 没有可用的 TURN 服务器：网络限制严格的人无法接通。
check_relay: No working TURN server, and calls here go by nothing else: nobody gets through. | 没有可用的 TURN 服务器，而这里的通话只能经它中转：无法接通任何人。
check_turn: TURN works: people behind strict networks get through, too. | TURN 可用：网络限制严格的人也能接通。
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
safety_hint: Read it to each other: the same on both sides, nobody sits in between. | 互相念一遍，两端相同，中间就没有人窃听。
safety_none: Cannot be checked here. | 无法在此核对。
safety_compared: We compared it, it is the same | 已核对，两端相同
safety_changed: The safety number of {name} has changed since you compared it. Compare it again. | {name} 的安全码已变化，请重新核对。
keys_on: Use these keys | 启用快捷键
retry: Try again | 重试
cancel: Cancel | 取消

p_denied: {kind} not allowed | 没有{kind}权限
p_denied_text: Allow it by the icon left of the address, and in the system's privacy settings. | 请在地址栏左侧的图标和系统隐私设置中允许。
p_none: {kind} not found | 没有找到{kind}
p_none_text: Plug one in, or join without. | 请接上设备，或直接加入。
p_busy: {kind}: in use elsewhere | {kind}被占用
p_busy_text: Close the program or tab that holds it. | 请关闭占用它的程序或标签页。
p_insecure: This page is not secure, so the browser gives no camera or microphone | 页面不安全，浏览器不提供摄像头和麦克风
p_insecure_text: Open it by https (the server needs --lan, or --cert and --key), or by http://localhost on the server's computer. Meanwhile you can watch. | 请用 https 打开（服务器须有 --lan，或 --cert 与 --key），或在服务器本机用 http://localhost 打开。也可以先仅观看。
p_embedded: {kind} not allowed in this frame | 此框架内没有{kind}权限
p_embedded_text: The page around this one must grant it, or open the call in its own tab. | 外层页面须授权，或在单独的标签页打开。
p_unplugged: {kind} was unplugged | {kind}已拔出
p_unplugged_text: Plug it in again, or choose another. | 请重新接上，或选择其他设备。
p_other: {kind} does not start | {kind}无法启动
p_other_text: Try again, or choose another. | 请重试，或选择其他设备。
p_unreachable: The server cannot be reached | 无法连接服务器
p_unreachable_text: Is it running, and are you on its network ({url})? | 它在运行吗？您和它在同一个网络吗（{url}）？
p_room_full: The room is full | 房间已满
p_room_full_text: Try again later. | 请稍后再试。
p_bad_room: This room name does not work | 房间名不可用
p_bad_room_text: Use 1 to 64 characters. | 请用 1 到 64 个字符。
p_unauthorized: You need a valid invite link | 需要有效的邀请链接
p_unauthorized_text: This server needs a token in the link. Ask for a new link. | 此服务器要求链接中有令牌，请索取新链接。
p_wrong_password: This room has a password | 此房间有密码
p_wrong_password_text: Type it below, and join again. | 请在下方输入，然后重新加入。
p_rate_limited: Too many attempts | 尝试次数过多
p_rate_limited_text: Wait a minute, then try again. | 请等一分钟再试。
p_unavailable: The server lets nobody in right now | 服务器暂时无法接纳任何人
p_unavailable_text: Try again later. | 请稍后再试。
p_id_taken: You are in this room already | 您已在此房间内
p_id_taken_text: Close the other window first. | 请先关闭另一个窗口。
p_door: Asking to be let in | 正在请求进入
p_door_text: The room is locked. Its host sees you. | 房间已锁定，主持人能看到您。
p_denied_entry: You were not let in | 您未获准进入
p_denied_entry_text: The host turned you away, or nobody answered. | 主持人没有让您进入，或无人应答。
p_kicked: You were removed from the call | 您已被移出通话
p_kicked_text: Camera and microphone are off. | 摄像头和麦克风已关闭。
p_displaced: Somebody signed in elsewhere with your id | 有人在别处用您的 ID 登录了
p_displaced_text: Camera and microphone are off. | 摄像头和麦克风已关闭。
p_taken_over: You are in the call from another connection | 您已通过另一个连接加入通话
p_taken_over_text: Only one can have your place. | 您的位置只能由其中一个占用。
p_closed_by_relay: The server ended the connection | 服务器关闭了连接
p_closed_by_relay_text: Reload the page. | 请刷新页面。
p_refused: The server does not let you in | 服务器不允许您进入
p_refused_text: Reload the page, or ask whoever runs the server (it says {code}). | 请刷新页面，或联系管理员（代码 {code}）。
host_says: The host says: {message} | 主持人说：{message}

host: Host | 主持人
away: Away for the moment | 暂时离开
presenting: Presenting | 正在共享
unseen: Connected later | 稍后连接
verified: Confirmed by the server | 服务器已确认身份
lock: Lock: newcomers must be let in | 锁定：新来的人须经准许
locked: The room is locked | 房间已锁定
unlocked: The room is open | 房间已开放
remove: Remove | 移出
remove_whom: Remove {name} | 移出 {name}
remove_text: You may tell them why: | 可以说明原因：
make_host: Make host | 设为主持人
is_host: {name} is the host now | {name} 现在是主持人
you_host: You are the host now | 您现在是主持人
knocks: {name} asks to be let in | {name} 请求进入
let_in: Let in | 准许
turn_away: Turn away | 拒绝
leave_title: Leave the call? | 要离开通话吗？
leave_text: The others go on without you. | 其他人会继续通话。
stay: Stay | 留下
sounds: Sounds for coming, going and knocking | 进出和请求进入时发出提示音
`;
const texts = new Map(Array.from(TEXTS.matchAll(LINE), ([, key, ...both]) => [key, both]));

export const I18n = {
	lang: "en",

	use(stored) {
		I18n.lang = (stored || navigator.language).toLowerCase().startsWith("zh") ? "zh" : "en";
		document.documentElement.lang = I18n.lang === "zh" ? "zh-CN" : "en";
		const each = (css, act) => document.querySelectorAll(css).forEach(act);
		each("[data-t]", (element) => (element.textContent = t(element.dataset.t)));
		each("[data-t-label]", (element) => element.setAttribute("aria-label", t(element.dataset.tLabel)));
		each("[data-t-hint]", (element) => (element.placeholder = t(element.dataset.tHint)));
	},
};

const HOLE = /\{(\w+)\}/;

function pattern(key) {
	return texts.get(key)?.[I18n.lang === "zh" ? 1 : 0] ?? key;
}

export function t(key, values = {}) {
	return pattern(key).replace(/\{(\w+)\}/g, (hole, name) => (Object.hasOwn(values, name) ? values[name] : hole));
}

/** The text as nodes, in which each value is isolated: a name that runs from right to left turns no other words round. */
export function nodes(key, values = {}) {
	return pattern(key)
		.split(HOLE)
		.map((part, at) => {
			if (at % 2 === 0) return part;
			const isolated = document.createElement("bdi");
			isolated.append(values[part] ?? `{${part}}`);
			return isolated;
		});
}

export function refusalKey(code) {
	if (code === "denied") return "denied_entry";
	return texts.has(`p_${code}`) ? code : "refused";
}
