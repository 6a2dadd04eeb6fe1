export {}; // so that TypeScript lets the style sheet be imported
