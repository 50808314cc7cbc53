// The whole job, but for the signature.
import { worker } from "./function/worker.js";

export default worker(() => (url, init) => fetch(url, init));
