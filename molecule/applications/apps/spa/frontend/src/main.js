import { h, render } from "preact";
import { useEffect, useState } from "preact/hooks";

function Tasks() {
  const [tasks, setTasks] = useState(null);
  const load = () => fetch("/api/tasks").then((response) => response.json()).then(setTasks);
  useEffect(() => { load(); }, []);
  const add = (event) => {
    event.preventDefault();
    const title = new FormData(event.target).get("title");
    fetch("/api/tasks", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ title }) }).then(load);
  };
  return h("main", null,
    h("form", { onSubmit: add }, h("input", { name: "title" }), h("button", { type: "submit" }, "Add")),
    h("p", null, tasks === null ? "Loading" : `${tasks.length} tasks`),
    h("ul", null, (tasks || []).map((task) => h("li", null, task.title))));
}

render(h(Tasks), document.getElementById("root"));
