package org.detr2litert.core

/** An invalid graph output, for example NaN; the message is one line for the user. */
class GraphOutputException(message: String) : Exception(message)
