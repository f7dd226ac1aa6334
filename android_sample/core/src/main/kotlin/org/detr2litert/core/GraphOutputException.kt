package org.detr2litert.core

/** A graph gave what no graph that runs right can give; the message is one line for the user. */
class GraphOutputException(message: String) : Exception(message)
