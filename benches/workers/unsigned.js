// The function in JavaScript, without a signature.
import { worker } from "./function/worker.js";

export default worker(() => (url, init) => fetch(url, init));
