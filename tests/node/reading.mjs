// What a reader has understood so far; kept when the SDK raises.

export class ReadSoFar {
  text = "";
  reasoning = "";
  refusal = "";
  tool_calls = [];
  usage = null;
  finish = null;
  error = null;
  error_message = "";
  message = null; // what the client keeps and sends back on the next turn, where it has such a thing

  fail(fault) {
    this.error = fault?.constructor?.name ?? typeof fault;
    this.error_message = String(fault?.message ?? JSON.stringify(fault));
  }
}
