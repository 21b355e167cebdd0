"""A request of the Gemini API as it is read: flat structs by camelCase names, nested objects raw.

Numbers may come as strings, and whole numbers with a fraction of zero: proto3 JSON allows both.
"""

from typing import Final

import msgspec

Raw = msgspec.Raw


class WireRequest(msgspec.Struct, gc=False):
    contents: Raw = Raw()
    systemInstruction: Raw = Raw()
    tools: Raw = Raw()
    toolConfig: Raw = Raw()
    generationConfig: Raw = Raw()
    serviceTier: str | None = None
    generateContentRequest: Raw = Raw()
    """A whole request inside one of `countTokens`."""
    model: str | None = None
    """Only inside such a request, and without meaning there: the URL names the model."""


class WireContent(msgspec.Struct, gc=False):
    role: str | None = None
    parts: Raw = Raw()


class WirePart(msgspec.Struct, gc=False):
    text: str | None = None
    thought: bool | None = None
    thoughtSignature: str | None = None
    inlineData: Raw = Raw()
    fileData: Raw = Raw()
    functionCall: Raw = Raw()
    functionResponse: Raw = Raw()
    mediaResolution: Raw = Raw()
    executableCode: Raw = Raw()
    codeExecutionResult: Raw = Raw()
    toolCall: Raw = Raw()
    toolResponse: Raw = Raw()


class WireBlob(msgspec.Struct, gc=False):
    mimeType: str | None = None
    data: str = ""
    displayName: str | None = None


class WireFile(msgspec.Struct, gc=False):
    mimeType: str | None = None
    fileUri: str = ""
    displayName: str | None = None


class WireCall(msgspec.Struct, gc=False):
    name: str = ""
    id: str | None = None
    args: Raw = Raw()


class WireResult(msgspec.Struct, gc=False):
    name: str = ""
    id: str | None = None
    response: Raw = Raw()
    parts: Raw = Raw()


class WireResolution(msgspec.Struct, gc=False):
    level: str | None = None


class WireFunction(msgspec.Struct, gc=False):
    name: str = ""
    description: str | None = None
    parameters: Raw = Raw()
    parametersJsonSchema: Raw = Raw()


class WireToolConfig(msgspec.Struct, gc=False):
    functionCallingConfig: Raw = Raw()


class WireCalling(msgspec.Struct, gc=False):
    mode: str | None = None
    allowedFunctionNames: list[str] | None = None


class WireConfig(msgspec.Struct, gc=False):
    temperature: float | None = None
    topP: float | None = None
    topK: float | None = None
    candidateCount: int | None = None
    maxOutputTokens: int | None = None
    stopSequences: list[str] | None = None
    seed: int | None = None
    presencePenalty: float | None = None
    frequencyPenalty: float | None = None
    responseLogprobs: bool | None = None
    logprobs: int | None = None
    responseMimeType: str | None = None
    responseSchema: Raw = Raw()
    responseJsonSchema: Raw = Raw()
    thinkingConfig: Raw = Raw()
    responseModalities: list[str] | None = None


class WireThinking(msgspec.Struct, gc=False):
    includeThoughts: bool | None = None
    thinkingBudget: int | None = None
    thinkingLevel: str | None = None


def names(struct: type[msgspec.Struct]) -> frozenset[str]:
    """The fields that `struct` reads."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(struct))


REQUEST: Final = msgspec.json.Decoder(WireRequest, strict=False)
CONTENT: Final = msgspec.json.Decoder(WireContent, strict=False)
PART: Final = msgspec.json.Decoder(WirePart, strict=False)
BLOB: Final = msgspec.json.Decoder(WireBlob, strict=False)
FILE: Final = msgspec.json.Decoder(WireFile, strict=False)
CALL: Final = msgspec.json.Decoder(WireCall, strict=False)
RESULT: Final = msgspec.json.Decoder(WireResult, strict=False)
RESOLUTION: Final = msgspec.json.Decoder(WireResolution | str, strict=False)
FUNCTION: Final = msgspec.json.Decoder(WireFunction, strict=False)
CALLING: Final = msgspec.json.Decoder(WireCalling, strict=False)
CONFIG: Final = msgspec.json.Decoder(WireConfig, strict=False)
THINKING: Final = msgspec.json.Decoder(WireThinking, strict=False)
