// First names from many places, for the wall.

const FIRST_NAMES = `Aaliyah Aarav Ada Adrián Aiko Aisha Akira Alba Alejandro Alice Alma Amara Amélie Amina Amir Ananya Anders
Andrea Anika Anton Anya Arjun Arthur Asher Astrid Aurora Ava Ayumi Beatriz Ben Bianca Björn Boris Bruno Camila Carlos Carmen Céline
Chiara Chidi Chiyo Chloe Clara Cosima Daiki Dalia Daniel Daphne Dario David Deniz Diego Dina Dmitri Eleni Elif Elin Élodie Emeka Emil
Emma Enzo Erik Esme Esther Eva Farah Fatima Felix Fiona Florian Freya Gabriel Gaia Giulia Goran Greta Gustav Hana Hannah Haruki Hasan
Heidi Helena Henrik Hina Hiro Hugo Ibrahim Ida Ilse Imani Ines Ingrid Isabel Isla Ivan Jack Jada Jan Jasmin Javier Jin Joana Johan
Jonas Josefine Juan Julia Jun Kai Kamala Karim Katya Kenji Khadija Kira Klara Kofi Kwame Lars Laszlo Laura Layla Lea Leif Leila Lena Leo
Lian Lina Linh Linus Liv Livia Luca Lucia Luis Luna Magnus Mai Malik Manon Marco Margot Mariam Marie Mateo Matilda Mauro Maya Mei Mia
Mikael Mila Milan Mina Minh Miriam Moritz Nadia Naoki Naomi Natalia Nia Nico Nils Nina Noah Noor Nora Oksana Oliver Olivia Omar Oscar
Paloma Paolo Parisa Paul Pedro Petra Pia Priya Quentin Rafael Rania Raquel Ravi Ren Rhea Rin Roberto Robin Rosa Ruben Rüya Sakura Salma
Samira Samuel Sana Sara Sasha Sebastian Selma Shira Signe Simon Sofia Sora Stefan Stella Sunita Svea Tara Tariq Tatiana Teresa Theo
Thiago Tomas Tova Uma Umar Valentina Vera Victor Viktor Viola Vivek Wanda Wei Wilma Xenia Ximena Yael Yara Yasmin Yuki Yuna Yusuf Zahra
Zara Zeno Ziva Zoë`.split(/\s+/);
const LETTERS = "ABCDEFGHIJKLMNOPRSTUVWYZ";

/** Name number i of an endless row that begins at some first name; after a round, letters follow. @param {number} i @param {number} from */
export function wallName(i, from) {
  const count = FIRST_NAMES.length;
  const first = FIRST_NAMES[(from + i * 89) % count]; // 89 has no factor with the count: every name once a round
  let initials = "";
  for (let round = Math.floor(i / count); round > 0; round = Math.floor((round - 1) / LETTERS.length)) {
    initials += ` ${LETTERS[(round - 1) % LETTERS.length]}.`;
  }
  return first + initials;
}

/** @param {string} [not] */
export function randomName(not) {
  const names = FIRST_NAMES.filter((name) => name !== not);
  return names[crypto.getRandomValues(new Uint32Array(1))[0] % names.length];
}
