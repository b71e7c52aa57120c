/** Entry of every window: the log window is `#/log`, everything else is the main window. */
import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import { mount } from "svelte";
import App from "./App.svelte";
import LogWindow from "./screens/log/LogWindow.svelte";
import "./theme/all.css";

const target = document.getElementById("app");
if (target === null) throw new Error("index.html has no #app element");

mount(window.location.hash.startsWith("#/log") ? LogWindow : App, { target });
