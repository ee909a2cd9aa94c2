// The protocol of Socket.IO by hand: 0 opens, 40 connects, 42 is an event, 2 and 3 are ping and pong.
const said = (packet, id) => {
  if (packet.startsWith("40")) document.getElementById(id).textContent = "connected";
  if (packet.startsWith("42")) document.getElementById(id).textContent = JSON.parse(packet.slice(2))[1];
};

const socket = new WebSocket(`wss://${location.host}/socket.io/?EIO=4&transport=websocket`);
socket.onmessage = (message) => {
  if (message.data.startsWith("0")) socket.send("40");
  if (message.data === "2") socket.send("3");
  said(message.data, "socket");
};

async function poll() {
  const url = "/socket.io/?EIO=4&transport=polling";
  const { sid } = JSON.parse((await (await fetch(url)).text()).slice(1));
  const post = (body) => fetch(`${url}&sid=${sid}`, { method: "POST", body });
  await post("40");
  for (;;) {
    const packets = (await (await fetch(`${url}&sid=${sid}`)).text()).split("\x1e");
    for (const packet of packets) {
      if (packet === "2") await post("3");
      said(packet, "polling");
    }
  }
}
poll();

document.getElementById("say").onsubmit = (event) => {
  event.preventDefault();
  socket.send(`42${JSON.stringify(["say", event.target.text.value])}`);
};
