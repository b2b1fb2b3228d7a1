// Carries the precompiled header of the tests; does nothing.
int main() {}
