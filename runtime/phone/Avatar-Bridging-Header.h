/* The engine for Avatar.swift: name this file in the build setting SWIFT_OBJC_BRIDGING_HEADER. */
#include "avatar.h"
